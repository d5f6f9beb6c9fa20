//! The compiled filter in the wasm host: the shipped rulesets' cases again, and what only the
//! shell around the router can get wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helpers fail by panic"
)]

mod filter {
    pub(crate) mod cases;
    pub(crate) mod client;
    pub(crate) mod config;
    mod cost;
    mod failures;
    mod headers;
    mod hostile;
    mod outside;
    mod retries;
    mod streams;
    mod waiting;
}
