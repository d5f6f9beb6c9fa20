//! What a Cell's origin costs, beside CNCF distribution in proxy mode, nginx with `proxy_cache` and
//! nginx with plain files, all on this machine, in one run: rounds are interleaved and medians
//! taken, for the cores are shared with the load. Each ratio stands beside its budget.
//!
//! `just bench` runs all parts; `cargo bench … --bench origin -- manifests cold` runs these.

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
mod questions;
mod report;
mod servers;
#[path = "../shared/envoy.rs"]
mod shared;
mod site;

use anyhow::{Result, ensure};

const PARTS: [&str; 7] = ["manifests", "blobs", "cold", "herd", "memory", "questions", "lookups"];

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    for word in &asked {
        ensure!(PARTS.contains(&word.as_str()), "no part `{word}`; there are {}", PARTS.join(", "));
    }
    for part in PARTS {
        if asked.is_empty() || asked.iter().any(|word| word == part) {
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
        "questions" => questions::print().await,
        _ => lookups::print().await,
    }
}
