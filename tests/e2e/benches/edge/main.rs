//! The cost of the edge: `just bench`.
//!
//! It prints two tables. Fuel is wasmtime's count of executed instructions, the same on every
//! machine. Throughput is Envoy's with the filter, as a ratio to the same Envoy without it and with
//! a Lua filter that routes the same way. Rounds are interleaved and medians taken, because the
//! load shares the cores.

mod fuel;
mod load;
mod proxies;
mod throughput;

use anyhow::Result;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    fuel::print()?;
    throughput::print().await
}
