//! The proxy-wasm filter, which carries out the router's decisions inside Envoy.
//!
//! `root` and `request` implement Envoy's callbacks. `transaction` takes one request through the router,
//! and `scheduler` wakes the requests that wait for the Topology Service. `worker` is the state that all
//! requests share, with the outstanding `calls`, the `metrics` and the `log`. `host` is the only module
//! that calls Envoy.

#![expect(missing_docs, reason = "`main!` expands to a public function without documentation")]

mod calls;
mod host;
mod log;
mod metrics;
mod request;
mod root;
mod scheduler;
mod transaction;
mod worker;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

use root::Root;

proxy_wasm::main! {{
    // Also installs the panic hook, which logs a panic before the VM dies.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}
