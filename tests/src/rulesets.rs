//! The rulesets this repository ships.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::program;

/// Where they are, each with its cases.
#[must_use]
pub fn folder() -> PathBuf {
    program::workspace().join("rulesets")
}

/// One as written.
///
/// # Errors
/// There is none of this name.
pub fn read(name: &str) -> Result<Value> {
    let file = folder().join(name).with_extension("json");
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}
