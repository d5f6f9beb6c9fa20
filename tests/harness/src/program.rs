//! The paths of programs. A missing program is an error that says how to install it, and never a
//! skipped test.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Cargo's target folder.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Finds a program of this workspace, built beside the running one.
///
/// # Errors
/// It is not built.
pub fn own(name: &str) -> Result<PathBuf> {
    let running = env::current_exe()?;
    let beside = running.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    first(beside, name, "build it with `just test` or `cargo build --workspace --bins`")
}

/// Finds Envoy: `$ENVOY`, or one on PATH.
///
/// # Errors
/// Envoy is missing.
pub fn envoy() -> Result<PathBuf> {
    let named = env::var_os("ENVOY").map(PathBuf::from).or_else(|| on_path("envoy"));
    first(named.into_iter(), "envoy", "install it with `just envoy`, and set $ENVOY to its path")
}

/// Finds the compiled filter: `$FILTER_WASM`, or the output of `just wasm`.
///
/// # Errors
/// It is not built.
pub fn filter_wasm() -> Result<PathBuf> {
    let built = target().join("wasm32-unknown-unknown/release-wasm/filter.wasm");
    let path = env::var_os("FILTER_WASM").map_or(built, PathBuf::from);
    first([path].into_iter(), "filter.wasm", "build it with `just wasm`")
}

/// Finds an installed program.
///
/// # Errors
/// It is not installed.
pub fn system(name: &str) -> Result<PathBuf> {
    first(
        on_path(name).into_iter(),
        name,
        "`just test` installs it on Debian as root; see .ci/need",
    )
}

/// Finds a program on PATH.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn first(mut places: impl Iterator<Item = PathBuf>, name: &str, advice: &str) -> Result<PathBuf> {
    let found = places.find(|place| place.is_file());
    let found = found.with_context(|| format!("missing: {name}; {advice}"))?;
    Ok(found.canonicalize()?)
}
