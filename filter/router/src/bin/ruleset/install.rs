//! `ruleset install`: renders filter configurations, checks them, and moves them to the folder that
//! Envoy watches.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use router::install;

use crate::report::Report;

/// The templates of the two hostnames.
const TEMPLATES: [&str; 2] = ["envoy/filter-web.yaml", "envoy/filter-registry.yaml"];

pub(crate) fn run(folder: &Path, templates: &[PathBuf]) -> Result<Report> {
    ensure!(folder.is_dir(), "{}: not a folder", folder.display());
    let defaults = TEMPLATES.map(PathBuf::from);
    let templates = if templates.is_empty() { &defaults[..] } else { templates };
    let files = templates.iter().map(|path| rendered(path, folder)).collect::<Result<Vec<_>>>()?;
    let paths: BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
    ensure!(paths.len() == files.len(), "two templates have the same file name");
    install::install(&files)?;
    let text = files.iter().map(|(path, _)| format!("{}\n", path.display())).collect();
    Ok(Report { text, success: true })
}

/// Returns the path and the text of the file to install.
fn rendered(template: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let path = || template.display().to_string();
    let text = fs::read_to_string(template).with_context(path)?;
    let text = install::render(&text, Path::new(".")).with_context(path)?;
    let name = template.file_name().context("the path of a template has no file name")?;
    Ok((folder.join(name), text))
}
