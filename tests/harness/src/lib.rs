//! What end-to-end tests and the demo are made of: real programs, whole stacks, and fakes.
//!
//! Always here, and all the demo needs:
//! - [`stack`]: the whole edge in real processes: Envoy, the Topology Service, the Cells.
//! - [`distribution`]: a real CNCF registry, an upstream's or a Cell's.
//! - [`postgres`], [`seaweed`], [`azurite`]: a real database, a real S3, Microsoft's emulator of Azure
//!   storage; the tests of one process [share](shared) them.
//! - [`client`], [`clients`]: a client that exposes every byte, and real ones.
//! - [`image`]: images to push and pull.
//! - [`rulesets`], [`envoy`]: the shipped rulesets, and pieces of Envoy's configuration.
//! - [`origin_config`]: writes the `origin.toml` of every test.
//! - [`process`], [`program`]: starting and stopping programs.
//! - [`promtool`]: Prometheus' linter for metrics.
//! - [`progress`], [`wait`]: a progress line on a terminal; waiting until something holds.
//!
//! With feature `cell`:
//! - `cell`: an origin inside the test's process.
//! - `persistent`: a Cell whose data outlives its origin, a real process.
//! - `member`: groups and users in an origin's database.
//!
//! With feature `fakes`:
//! - `fault`: a registry that counts requests and fails on demand.
//! - `gcs`: the part of Google Cloud Storage that the origin uses.
//! - `production`: the edge as `envoy/envoy.yaml` sets it up, with TLS on all sides.
//!
//! With feature `wasm`:
//! - `filter`, `replay`: the compiled filter in the wasm host, and the rulesets' cases played through it.
//!
//! Every server listens on loopback, keeps its files in a temporary folder, and stops when its
//! value is dropped.

pub mod azurite;
#[cfg(feature = "cell")]
pub mod cell;
pub mod client;
pub mod clients;
pub mod distribution;
pub mod envoy;
#[cfg(feature = "fakes")]
pub mod fault;
#[cfg(feature = "wasm")]
pub mod filter;
#[cfg(feature = "fakes")]
pub mod gcs;
pub mod image;
#[cfg(feature = "cell")]
pub mod member;
pub mod origin_config;
#[cfg(feature = "cell")]
pub mod persistent;
pub mod postgres;
pub mod process;
#[cfg(feature = "fakes")]
pub mod production;
pub mod program;
pub mod progress;
pub mod promtool;
#[cfg(feature = "wasm")]
pub mod replay;
pub mod rulesets;
pub mod seaweed;
pub mod shared;
pub mod stack;
pub mod wait;

pub use clients::skopeo;
