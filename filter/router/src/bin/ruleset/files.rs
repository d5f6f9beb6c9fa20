//! The files given on the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use router::cases::{self, CaseFile, Directory};
use router::config;
use serde_json::Value;

/// A ruleset, or a filter configuration that contains one.
pub(crate) struct RulesetFile {
    pub(crate) path: PathBuf,
    /// The filter configuration that contains the ruleset.
    pub(crate) config: Value,
}

impl RulesetFile {
    /// Reads a ruleset or a filter configuration.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let json = read(path)?;
        if json.is_array() || json.get("ruleset").is_some_and(Value::is_array) {
            bail!("{}: expected an object with the list as `rules`, not a list", path.display());
        }
        let config = match json.get("ruleset") {
            Some(_) => json,
            None => cases::filter_config(&json),
        };
        Ok(Self { path: path.to_owned(), config })
    }

    pub(crate) fn ruleset(&self) -> Value {
        self.config.get("ruleset").cloned().unwrap_or_default()
    }

    /// Returns `NAME.cases.json` for `NAME.json`.
    pub(crate) fn cases_path(&self) -> PathBuf {
        self.path.with_extension("cases.json")
    }

    /// Reads the cases of the ruleset, if it has any.
    pub(crate) fn cases(&self) -> Result<Option<CaseFile>> {
        let path = self.cases_path();
        if path.exists() { case_file(&path).map(Some) } else { Ok(None) }
    }
}

pub(crate) fn case_file(path: &Path) -> Result<CaseFile> {
    let bytes = bytes(path)?;
    CaseFile::from_json(&bytes).with_context(|| path.display().to_string())
}

/// Reads the directory of a Topology Service: the `topology` of a file of cases, or a file with only
/// that.
pub(crate) fn directory(path: &Path) -> Result<Directory> {
    let json = read(path)?;
    let part = json.get("topology").unwrap_or(&json).to_string();
    config::from_json(part.as_bytes()).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> Result<Value> {
    config::unique_json(&bytes(path)?).with_context(|| path.display().to_string())
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    if bytes.trim_ascii().is_empty() {
        bail!("{}: the file is empty", path.display());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bail!(
            "{}: the file starts with a byte order mark; save it as UTF-8 without one",
            path.display()
        );
    }
    Ok(bytes)
}

/// Replaces each folder by the rulesets in it.
pub(crate) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(rulesets_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn rulesets_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".json") && !name.ends_with(".cases.json") && !name.ends_with("schema.json")
    });
    files.sort();
    if files.is_empty() {
        bail!("{}: no rulesets in this folder", folder.display());
    }
    Ok(files)
}
