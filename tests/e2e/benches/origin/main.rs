//! The cost of a Cell's origin, compared with CNCF distribution in proxy mode, nginx with
//! `proxy_cache` and nginx with plain files, on one machine in one run. Rounds are interleaved and
//! medians taken, because the load shares the cores. Each ratio is printed with its budget.
//!
//! `just bench` runs all parts, and `just bench-origin manifests cold` only these.

mod blobs;
mod cold;
mod drain;
mod envoy;
mod herd;
mod load;
mod lookups;
mod manifests;
mod memory;
mod nginx;
mod origins;
mod queries;
mod report;
mod servers;
mod site;

use anyhow::{Result, ensure};

const PARTS: [&str; 7] = ["manifests", "blobs", "cold", "herd", "memory", "queries", "lookups"];

#[tokio::main]
async fn main() -> Result<()> {
    let requested: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    for word in &requested {
        ensure!(
            PARTS.contains(&word.as_str()),
            "unknown part `{word}`; the parts are {}",
            PARTS.join(", ")
        );
    }
    for part in PARTS {
        if requested.is_empty() || requested.iter().any(|word| word == part) {
            run(part).await?;
        }
    }
    Ok(())
}

async fn run(part: &str) -> Result<()> {
    match part {
        "manifests" => manifests::print().await,
        "blobs" => blobs::print().await,
        "cold" => cold::print().await,
        "herd" => herd::print().await,
        "memory" => memory::print().await,
        "queries" => queries::print().await,
        _ => lookups::print().await,
    }
}
