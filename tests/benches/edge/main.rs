//! What the edge costs: `just bench`.
//!
//! Two tables in one run. Fuel is wasmtime's count of executed instructions, the same on every
//! machine. Throughput is Envoy's with the filter, as a ratio to the same Envoy without it and to a
//! Lua filter that routes the same way; rounds are interleaved and medians taken, for the cores are
//! shared with the load.

mod fuel;
mod load;
mod proxies;
#[path = "../shared/envoy.rs"]
mod shared;
mod throughput;

use anyhow::Result;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    fuel::print()?;
    throughput::print().await
}
