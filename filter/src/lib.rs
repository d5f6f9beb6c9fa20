//! The proxy-wasm filter that carries the router's decisions out inside Envoy. `root` compiles the
//! configuration, `request` feeds one request to the router, `host` is all it needs from Envoy.

#![expect(missing_docs, reason = "`main!` expands to a public function without any")]

mod host;
mod request;
mod root;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

use root::Root;

proxy_wasm::main! {{
    // Installs the panic hook too, which logs the panic before the VM dies.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}
