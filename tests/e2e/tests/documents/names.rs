//! The tests that `envoy/README.md` names exist.

use std::fs;
use std::path::{Path, PathBuf};

use harness::program::workspace;

use super::markdown::captures;
use super::{document, none};

/// Folders whose tests are named by a crate.
const CRATES: [(&str, &str); 2] = [("router", "filter/router"), ("origin", "origin/src")];

/// The members that have suites.
const MEMBERS: [&str; 2] = ["tests/e2e", "tests/wasm-host"];

/// The source files of a suite and of a crate's own tests.
fn sources(suite: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (_, folder) in CRATES.iter().filter(|(name, _)| *name == suite) {
        collect(&workspace().join(folder), &mut files);
    }
    for member in MEMBERS {
        let tests = workspace().join(member).join("tests");
        files.extend(Some(tests.join(format!("{suite}.rs"))).filter(|file| file.is_file()));
        collect(&tests.join(suite), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether a reference such as `filter headers::the_route_…` names tests that exist.
fn exists(reference: &str) -> bool {
    let (suite, path) = reference.split_once(' ').unwrap_or((reference, ""));
    let (module, test) = path.rsplit_once("::").unwrap_or(("", path));
    let files = sources(suite);
    let mut tests =
        files.iter().filter(|file| is_module(file, module)).flat_map(|file| tests_in(file));
    let beginning = test.trim_end_matches('…');
    tests.any(|name| {
        if test == beginning && !test.is_empty() {
            name == test
        } else {
            name.starts_with(beginning)
        }
    })
}

/// The names of the tests in a file.
fn tests_in(file: &Path) -> Vec<String> {
    let attribute = "#\\[(?:tokio::)?test[^\n]*\n";
    let function = "(?:[^\n]*\n)??[ ]*(?:async )?fn ([a-z0-9_]+)";
    captures(&format!("{attribute}{function}"), &fs::read_to_string(file).unwrap())
}

fn is_module(file: &Path, module: &str) -> bool {
    let (stem, parent) = (file.file_stem(), file.parent().and_then(Path::file_name));
    module.is_empty() || [stem, parent].into_iter().flatten().any(|name| name == module)
}

#[test]
fn every_pitfall_names_tests_that_exist() {
    let document = document("envoy/README.md");
    let rows =
        document.tables.iter().find(|table| table.head.last().is_some_and(|it| it == "test"));
    let rows = &rows.unwrap().rows;
    assert!(rows.len() >= 23, "only {} pitfalls", rows.len());
    let mut defects = Vec::new();
    for row in rows {
        let references = captures("`([^`]+)`", row.last().unwrap());
        assert!(!references.is_empty(), "{row:?}");
        let missing = references.into_iter().filter(|reference| !exists(reference));
        defects
            .extend(missing.map(|reference| format!("pitfall {}: no test `{reference}`", row[0])));
    }
    none(&defects);
}
