//! What tests and the demo are made of: fakes, harnesses, and the real programs they drive.
//!
//! - [`host`]: Envoy's proxy-wasm host in miniature, on wasmtime, for the compiled filter.
//!
//! Everything listens on loopback, lives in a folder of its own and goes when its value is dropped.

#[cfg(feature = "wasm-host")]
pub mod host;
