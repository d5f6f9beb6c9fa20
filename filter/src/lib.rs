//! The proxy-wasm filter that carries the router's decisions out inside Envoy. `root` and `request`
//! are Envoy's callbacks; `exchange` takes one request through the router, `worker` is what all
//! requests share, `host` is all they need from Envoy, `log` and `metrics` what is told outside.

#![expect(missing_docs, reason = "`main!` expands to a public function without any")]

mod exchange;
mod host;
mod log;
mod metrics;
mod request;
mod root;
mod worker;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

use root::Root;

proxy_wasm::main! {{
    // Installs the panic hook too, which logs the panic before the VM dies.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}
