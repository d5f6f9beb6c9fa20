//! The compiled filter in the wasm host: the cases of the shipped rulesets, and what only the shell
//! around the router can get wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests panic"
)]

mod cases;
mod client;
mod config;
mod cost;
mod failures;
mod headers;
mod hostile;
mod outside;
mod retries;
mod streams;
mod waiting;
