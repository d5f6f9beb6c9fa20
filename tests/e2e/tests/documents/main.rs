//! The documents against what they describe: links, commands, flags, metrics, keys, examples and
//! names of tests. It needs no server, only the programs that cargo builds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panic"
)]

mod commands;
mod examples;
mod keys;
mod links;
mod markdown;
mod metrics;
mod names;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use harness::program::workspace;
use markdown::Document;

/// Folders without documents of ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// Returns every Markdown file of the repository.
fn documents() -> Vec<Document> {
    let mut paths = Vec::new();
    collect(&workspace(), &mut paths);
    paths.sort();
    assert!(paths.len() > 5, "found only {paths:?}");
    paths.iter().map(|path| Document::read(path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name.as_str()) {
            collect(&path, paths);
        } else if name.ends_with(".md") {
            paths.push(path);
        }
    }
}

/// Returns the document at `path`, relative to the repository.
fn document(path: &str) -> Document {
    Document::read(&workspace().join(path))
}

/// Returns the text of a file of the repository.
fn source(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with one line for each defect.
#[track_caller]
fn none(defects: &[String]) {
    assert!(defects.is_empty(), "\n{}", defects.join("\n"));
}
