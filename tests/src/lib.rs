//! What tests and the demo are made of: fakes, harnesses, and the real programs they drive.
//!
//! - [`host`]: Envoy's proxy-wasm host in miniature, on wasmtime, for the compiled filter.
//! - [`rulesets`], [`replay`]: the rulesets shipped, and their cases, played through it.
//! - [`stack`]: the whole edge in real processes: Envoy, the Topology Service, the cells.
//! - [`cell`]: one origin inside the test's own process.
//! - [`lasting`]: an origin in a real process, on a folder that outlives it.
//! - [`production`]: the edge as `envoy/envoy.yaml` sets it up, with TLS on all sides.
//! - [`distribution`]: a real CNCF registry, an upstream's or a cell's.
//! - [`postgres`], [`seaweed`], [`azurite`]: a real database, a real S3, Microsoft's own emulator of
//!   Azure, all [`shared`] by the tests of a process; [`gcs`]: a fake, for lack of one.
//! - [`fault`]: a registry that counts what it is asked and fails on demand.
//! - [`image`]: images to put into them.
//! - [`client`], [`clients`]: a client that shows every byte, and real ones.
//! - [`process`], [`program`]: starting things, and stopping them again.
//! - [`progress`]: what long work says while it runs.
//! - [`wait`]: until something holds.
//!
//! Everything listens on loopback, lives in a folder of its own and goes when its value is dropped.

pub mod azurite;
pub mod cell;
pub mod client;
pub mod clients;
pub mod distribution;
pub mod fault;
pub mod gcs;
#[cfg(feature = "wasm-host")]
pub mod host;
pub mod image;
pub mod lasting;
pub mod postgres;
pub mod process;
pub mod production;
pub mod program;
pub mod progress;
#[cfg(feature = "wasm-host")]
pub mod replay;
pub mod rulesets;
pub mod seaweed;
pub mod shared;
pub mod stack;
pub mod wait;

pub use clients::skopeo;
