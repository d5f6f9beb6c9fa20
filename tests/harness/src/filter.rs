//! The compiled filter in the wasm host.

use std::sync::LazyLock;

use anyhow::{Result, anyhow};
use wasm_host::{FilterHost, FilterModule, StartError};

use crate::program;

/// Starts the filter with a plugin configuration. The module is compiled once per process.
///
/// # Errors
/// [`StartError`]: no module, a trap, or a refused configuration.
pub fn start(configuration: impl AsRef<[u8]>) -> Result<FilterHost, StartError> {
    static MODULE: LazyLock<Result<FilterModule, String>> =
        LazyLock::new(|| compile().map_err(|error| format!("{error:#}")));
    let module = MODULE.clone().map_err(|error| anyhow!(error))?;
    FilterHost::start(&module, configuration)
}

fn compile() -> Result<FilterModule> {
    FilterModule::read(&program::filter_wasm()?)
}
