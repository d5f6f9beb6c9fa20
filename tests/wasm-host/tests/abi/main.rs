//! Modules of a few lines, run by the host: how Envoy behaves at the edges of the ABI.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

mod allocator;
mod calls;
mod maps;
mod shared_data;
mod start;
mod streams;
mod timers;

use wasm_host::abi::{MAX_PAIRS, MAX_PAIRS_BYTES, Pairs, decode_pairs, encode_pairs};
use wasm_host::{FilterHost, FilterModule, HeaderMap, StartError, StreamState};

/// A module with an ABI version and a function `$say` that logs a part of the memory.
fn module(body: &str) -> FilterModule {
    let text = format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            {body}
            (memory (export "memory") 2)
            (func (export "proxy_abi_version_0_2_1"))
            (func $say (param $at i32) (param $size i32)
                (drop (call $log (i32.const 2) (local.get $at) (local.get $size))))
        )"#
    );
    FilterModule::new(text).unwrap()
}

/// An allocator that always returns the same address.
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 4096))"#;

fn started(body: &str) -> FilterHost {
    FilterHost::start(&module(body), "").unwrap()
}

fn refused(body: &str) -> StartError {
    FilterHost::start(&module(body), "").unwrap_err()
}

fn logged(host: &FilterHost) -> Vec<&str> {
    host.logs().iter().map(|line| line.message.as_str()).collect()
}

fn request(host: &mut FilterHost) -> wasm_host::StreamId {
    host.on_request_headers([(":path", "/"), ("x-word", "hello")]).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let bytes = |text: &str| text.as_bytes().to_vec();
    pairs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}
