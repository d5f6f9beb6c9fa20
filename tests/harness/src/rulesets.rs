//! The rulesets in `rulesets/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::program;

/// The folder of the rulesets and their cases.
#[must_use]
pub fn folder() -> PathBuf {
    program::workspace().join("rulesets")
}

/// Reads a ruleset.
///
/// # Errors
/// No ruleset has this name, or it is not JSON.
pub fn read(name: &str) -> Result<Value> {
    let file = folder().join(name).with_extension("json");
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}
