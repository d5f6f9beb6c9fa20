//! Manifests per second, by tag and by digest, directly and through Envoy.

use anyhow::{Context as _, Result};
use harness::image::{Image, noise};

use crate::envoy::Envoy;
use crate::load::requests_per_second;
use crate::origins::{Origin, Setup};
use crate::report::{Budget, headline, medians, ratio, value};
use crate::servers::Servers;
use crate::site::Site;

/// Measures the throughput and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let image = Image::multi(&[noise(1, 10_000)]);
    let digest = format!("manifests/{}", image.top.digest());
    let servers = Servers::start(&image).await?;
    let upstream = servers.upstream.url();
    let rechecking = Setup { cache: "recheck_interval = \"1h\"", ..Setup::default() };
    let rechecking = Origin::start(&upstream, rechecking).await?;
    let logging = Origin::start(&upstream, Setup { log: "info", ..Setup::default() }).await?;
    by_tag(&servers, &rechecking).await?;
    by_digest(&servers, &logging, &digest).await?;
    through_envoy(&servers, &digest).await
}

/// Distribution revalidates a tag on every request, and so does an origin by default. nginx
/// revalidates after an hour, and so does an origin with this `recheck_interval`.
async fn by_tag(servers: &Servers, rechecking: &Origin) -> Result<()> {
    headline("Manifests by tag a second (wrk, 16 connections)");
    let sites = [
        servers.origin.site("origin, every tag checked upstream"),
        servers.mirror.site(),
        rechecking.site("origin, recheck_interval = 1h"),
        servers.nginx.cache(),
        servers.nginx.files(),
    ];
    let measured = measure("manifest by tag", &sites, "manifests/latest").await?;
    let [checked, mirror, unchecked, cache, files] = measured;
    ratio("checked / distribution proxy", checked / mirror, Budget::AtLeast(1.0));
    ratio("recheck_interval / nginx proxy_cache", unchecked / cache, Budget::AtLeast(0.5));
    ratio("recheck_interval / nginx static", unchecked / files, Budget::AtLeast(0.5));
    ratio("recheck_interval / distribution proxy", unchecked / mirror, Budget::AtLeast(150.0));
    Ok(())
}

async fn by_digest(servers: &Servers, logging: &Origin, digest: &str) -> Result<()> {
    headline("Manifests by digest a second (wrk, 16 connections)");
    let sites = [
        servers.origin.site("origin"),
        logging.site("origin, a log line a request"),
        servers.mirror.site(),
        servers.nginx.cache(),
        servers.nginx.files(),
    ];
    let [origin, logged, mirror, cache, files] =
        measure("manifest by digest", &sites, digest).await?;
    ratio("origin / nginx proxy_cache", origin / cache, Budget::AtLeast(0.8));
    ratio("origin / nginx static", origin / files, Budget::AtLeast(0.5));
    ratio("origin / distribution proxy", origin / mirror, Budget::AtLeast(150.0));
    ratio("origin with its log / without", logged / origin, Budget::AtLeast(0.8));
    Ok(())
}

async fn through_envoy(servers: &Servers, digest: &str) -> Result<()> {
    headline("Manifests by digest a second through the same Envoy (wrk, 16 connections)");
    let (origin, cache) = (servers.origin.site("origin"), servers.nginx.cache());
    let envoy = Envoy::before(&[("origin", &origin), ("nginx proxy_cache", &cache)]).await?;
    let sites: [Site; 2] = envoy.sites.clone().try_into().ok().context("two sites")?;
    let [origin, cache] = measure("manifest through Envoy", &sites, digest).await?;
    ratio("origin / nginx proxy_cache", origin / cache, Budget::AtLeast(1.0));
    Ok(())
}

async fn measure<const N: usize>(what: &str, sites: &[Site; N], end: &str) -> Result<[f64; N]> {
    for site in sites {
        site.fill_cache(end).await?;
    }
    let measured = medians(what, sites, |site| requests_per_second(site, end))?;
    for (site, measured) in sites.iter().zip(&measured) {
        value(site.name, *measured, "/s");
    }
    measured.try_into().ok().context("a value for each site")
}
