//! The layers of the code: which file imports which, and which crate depends on which.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests panic"
)]

mod dependencies;
mod graph;
mod imports;
