//! The pull-through cache: what is served from the store, what is fetched, and what a failed fetch
//! means for the client.

pub use error::{CacheError, Subject};
pub use status::CacheStatus;

pub mod blob;
mod error;
mod group_fetch;
mod inflight;
pub mod listing;
pub mod manifest;
pub mod memory;
mod singleflight;
mod stale;
mod status;
mod sync;
