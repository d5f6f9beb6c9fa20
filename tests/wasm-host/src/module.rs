//! Compiled modules.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasmtime::{Config, Engine, Module};

/// A compiled proxy-wasm module; a host is a fresh instance of it.
#[derive(Clone)]
pub struct FilterModule {
    pub(super) engine: Engine,
    pub(super) module: Module,
}

impl FilterModule {
    /// Compiles a module, given as binary or as text (`.wat`).
    ///
    /// # Errors
    /// It is not WebAssembly, or exports no ABI version that this host supports.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let engine = Engine::new(Config::new().consume_fuel(true))?;
        let module = Module::new(&engine, bytes)?;
        let versions = ["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"];
        let known = versions.iter().any(|version| module.get_export(version).is_some());
        ensure!(known, "missing or unknown proxy-wasm ABI version");
        Ok(Self { engine, module })
    }

    /// Reads and compiles a module's file.
    ///
    /// # Errors
    /// As [`Self::new`], or the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::new(bytes).with_context(|| path.display().to_string())
    }
}

impl std::fmt::Debug for FilterModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterModule").finish_non_exhaustive()
    }
}
