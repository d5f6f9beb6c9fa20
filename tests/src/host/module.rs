//! Compiled modules: the filter, once per test binary, and small modules written as text.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, ensure};
use wasmtime::{Config, Engine, Module};

/// A compiled proxy-wasm module; a host is a fresh instance of it.
#[derive(Clone)]
pub struct FilterModule {
    pub(super) engine: Engine,
    pub(super) module: Module,
}

static FILTER: LazyLock<Result<FilterModule, String>> =
    LazyLock::new(|| FilterModule::read(&filter_path()).map_err(|error| format!("{error:#}")));

impl FilterModule {
    /// The project's filter: `$FILTER_WASM`, or what `just wasm` builds. Compiled once.
    ///
    /// # Errors
    /// When the file is missing or is no proxy-wasm module.
    pub fn filter() -> Result<Self> {
        FILTER.clone().map_err(|error| anyhow!(error))
    }

    /// Compiles a module, binary or text (`.wat`).
    ///
    /// # Errors
    /// When it is no WebAssembly, or names no ABI version this host speaks.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let engine = Engine::new(Config::new().consume_fuel(true))?;
        let module = Module::new(&engine, bytes)?;
        let versions = ["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"];
        let known = versions.iter().any(|version| module.get_export(version).is_some());
        ensure!(known, "missing or unknown proxy-wasm ABI version");
        Ok(Self { engine, module })
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!("cannot read the filter {}: build it with `just wasm`", path.display())
        })?;
        Self::new(bytes).with_context(|| path.display().to_string())
    }
}

impl std::fmt::Debug for FilterModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterModule").finish_non_exhaustive()
    }
}

fn filter_path() -> PathBuf {
    std::env::var_os("FILTER_WASM").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../target/wasm32-unknown-unknown/release-wasm/filter.wasm")
        },
        PathBuf::from,
    )
}
