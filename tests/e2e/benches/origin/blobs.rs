//! Bytes per second of a cached 100 MB blob, into clients that discard them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::image::{Image, noise};
use oci::Digest;

use crate::drain::bytes_per_second;
use crate::envoy::Envoy;
use crate::report::{Budget, headline, medians, ratio, value};
use crate::servers::Servers;
use crate::site::Site;

const TIME: Duration = Duration::from_secs(2);

/// Measures the throughput and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let layer = noise(2, 100_000_000);
    let end = format!("blobs/{}", Digest::of(&layer));
    let servers = Servers::start(&Image::single(&[layer])).await?;
    let sites = [
        servers.origin.site("origin"),
        servers.mirror.site(),
        servers.nginx.cache(),
        servers.nginx.files(),
    ];
    for site in &sites {
        site.fill_cache(&end).await?;
    }
    for clients in [1, 8] {
        headline(&format!("A cached 100 MB blob, {clients} clients that discard it"));
        let [origin, mirror, cache, files] = measure(&sites, &end, clients)?;
        ratio("origin / distribution proxy", origin / mirror, Budget::AtLeast(3.0));
        ratio("origin / nginx proxy_cache", origin / cache, Budget::AtLeast(0.8));
        ratio("origin / nginx static (sendfile)", origin / files, Budget::AtLeast(0.8));
    }
    headline("The same through the same Envoy, 8 at once");
    let [origin, _, cache, _] = &sites;
    let envoy = Envoy::before(&[("origin", origin), ("nginx proxy_cache", cache)]).await?;
    let sites: [Site; 2] = envoy.sites.clone().try_into().ok().context("two sites")?;
    let [origin, cache] = measure(&sites, &end, 8)?;
    ratio("origin / nginx proxy_cache", origin / cache, Budget::AtLeast(1.0));
    Ok(())
}

fn measure<const N: usize>(sites: &[Site; N], end: &str, clients: usize) -> Result<[f64; N]> {
    let measured = medians(&format!("blob, {clients} clients"), sites, |site| {
        bytes_per_second(site, end, clients, TIME)
    })?;
    for (site, measured) in sites.iter().zip(&measured) {
        value(site.name, measured / 1e6, "MB/s");
    }
    measured.try_into().ok().context("a value for each site")
}
