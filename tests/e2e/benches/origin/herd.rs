//! Upstream GETs while fifty clients request one uncached blob.

use anyhow::{Context as _, Result, ensure};
use harness::fault::FaultRegistry;
use harness::image::{Image, noise};
use oci::Digest;
use reqwest::Method;
use tokio::task::JoinSet;

use crate::nginx::Nginx;
use crate::origins::{Origin, Setup};
use crate::report::{Budget, bounded, headline, value};
use crate::servers::Mirror;
use crate::site::Site;

const CLIENTS: usize = 50;
const LENGTH: usize = 20_000_000;

/// Counts the GETs and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    headline("Upstream GETs for one cold 20 MB blob and 50 clients");
    let layer = noise(3, LENGTH);
    let digest = Digest::of(&layer);
    let image = Image::single(&[layer]);
    let upstream = FaultRegistry::start().await?;
    upstream.add("library/app", "latest", &image);
    let origin = Origin::start(upstream.url(), Setup::default()).await?;
    let mirror = Mirror::start(upstream.url()).await?;
    let nginx = Nginx::start(upstream.url(), &image).await?;
    for site in [origin.site("origin"), mirror.site(), nginx.cache()] {
        let before = gets(&upstream, &digest);
        herd(&site, &format!("blobs/{digest}")).await?;
        let gets = gets(&upstream, &digest) - before;
        if site.name == "origin" {
            bounded(site.name, gets, "GETs", Budget::AtMost(1.0));
        } else {
            value(site.name, gets, "GETs");
        }
    }
    Ok(())
}

fn gets(upstream: &FaultRegistry, digest: &Digest) -> f64 {
    let count = upstream.count("GET", &format!("/blobs/{digest}"));
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

async fn herd(site: &Site, end: &str) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (site, end) = (site.clone(), end.to_owned());
        clients.spawn(async move {
            let body = site.request(Method::GET, &end).await?.bytes().await?;
            ensure!(body.len() == LENGTH, "{}: {} bytes", site.name, body.len());
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.context("a client broke")??;
    }
    Ok(())
}
