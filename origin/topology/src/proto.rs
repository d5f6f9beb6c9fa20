//! What `proto/` compiles to: the messages, the services' traits, and their clients.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/proto.rs"));

pub use gitlab::cells::topology_service::*;

/// The compiled files themselves, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
