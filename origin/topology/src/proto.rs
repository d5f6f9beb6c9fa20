//! What `proto/` compiles to: messages with their JSON form, service traits, and clients.

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

/// `serde` implementations of the messages.
mod json {
    use super::gitlab::cells::topology_service::*;

    include!(concat!(env!("OUT_DIR"), "/gitlab.cells.topology_service.serde.rs"));

    mod claim {
        use super::types::v1::*;

        include!(concat!(env!("OUT_DIR"), "/gitlab.cells.topology_service.types.v1.serde.rs"));
    }
}

/// The compiled files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
