//! The origin's resident memory while two hundred clients stream, half of them slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::distribution::Distribution;
use harness::image::{Image, noise};
use harness::process::Process;
use oci::Digest;
use reqwest::Method;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::origins::{Origin, Setup};
use crate::report::{Budget, bounded, headline};
use crate::site::Site;

const CLIENTS: usize = 200;
const TIME: Duration = Duration::from_secs(6);

/// Measures the memory and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    headline("Resident memory, 200 clients streaming a 100 MB blob, every other one slowly");
    let layer = noise(4, 100_000_000);
    let end = format!("blobs/{}", Digest::of(&layer));
    let upstream = Distribution::start().await?;
    upstream.push("library/app", "latest", &Image::single(&[layer])).await?;
    let origin = Origin::start(&upstream.url(), Setup::default()).await?;
    let site = origin.site("origin");
    let idle = megabytes(&origin.process)?;
    bounded("idle", idle, "MB", Budget::AtMost(100.0));
    for state in ["while the blob comes from the upstream", "with the blob cached"] {
        let peak = peak(&origin.process, &site, &end).await?;
        bounded(state, peak, "MB", Budget::AtMost(100.0));
    }
    Ok(())
}

/// The peak of resident memory while all clients stream.
async fn peak(process: &Process, site: &Site, end: &str) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(stream(site.clone(), end.to_owned(), number % 2 == 0, Arc::clone(&stop)));
    }
    let (deadline, mut peak) = (Instant::now() + TIME, 0.0_f64);
    while Instant::now() < deadline {
        peak = peak.max(megabytes(process)?);
        sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(peak)
}

/// Repeats a request; a slow client reads a chunk every 20 ms.
async fn stream(site: Site, end: String, slow: bool, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let mut response = site.request(Method::GET, &end).await?;
        ensure!(response.status() == 200, "{}", response.status());
        while !stop.load(Ordering::Relaxed) && response.chunk().await?.is_some() {
            if slow {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn megabytes(process: &Process) -> Result<f64> {
    Ok(process.resident_bytes()? as f64 / 1e6)
}
