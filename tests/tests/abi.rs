//! The proxy-wasm host against modules of a few lines: what Envoy does at the edges of the ABI.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

mod abi {
    mod allocator;
    mod calls;
    mod maps;
    mod shared_data;
    mod start;
    mod streams;
    mod timers;
}

use e2e::host::abi::{MAX_PAIRS, MAX_PAIRS_BYTES, Pairs, decode_pairs, encode_pairs};
use e2e::host::{FilterHost, FilterModule, HeaderMap, Outcome, StartError};

/// A module with an ABI version, an allocator of a fixed place, and a function that logs a byte
/// string of the memory.
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

const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 4096))"#;

fn started(body: &str) -> FilterHost {
    FilterHost::start_module(&module(body), "").unwrap()
}

fn refused(body: &str) -> StartError {
    FilterHost::start_module(&module(body), "").unwrap_err()
}

fn said(host: &FilterHost) -> Vec<&str> {
    host.logs().iter().map(|line| line.message.as_str()).collect()
}

fn request(host: &mut FilterHost) -> e2e::host::StreamId {
    host.on_request_headers([(":path", "/"), ("x-word", "hello")]).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let bytes = |text: &str| text.as_bytes().to_vec();
    pairs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}
