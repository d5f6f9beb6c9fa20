//! Links lead somewhere, and every document is found from the first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use harness::program::workspace;

use super::markdown::Document;
use super::{document, documents, none};

/// The longest first page.
const README_LINES: usize = 150;

/// Found by the hosting platform, not by a link.
const TEMPLATES: [&str; 3] = [
    ".github/ISSUE_TEMPLATE/bug_report.md",
    ".github/ISSUE_TEMPLATE/feature_request.md",
    ".github/PULL_REQUEST_TEMPLATE.md",
];

#[test]
fn relative_links_and_their_anchors_lead_somewhere() {
    let mut defects = Vec::new();
    for document in documents() {
        for link in document.links.iter().filter(|link| is_relative(link)) {
            if let Err(problem) = follow(&document, link) {
                defects.push(format!("{}: {link}: {problem}", document.name()));
            }
        }
    }
    none(&defects);
}

fn is_relative(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

fn follow(from: &Document, link: &str) -> Result<(), &'static str> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { from.path.clone() } else { from.path.with_file_name(path) };
    let target = target.canonicalize().map_err(|_| "no such file")?;
    if anchor.is_empty() || Document::read(&target).anchors.iter().any(|known| known == anchor) {
        return Ok(());
    }
    Err("no such heading")
}

#[test]
fn every_document_is_found_from_the_first() {
    let mut found = BTreeSet::new();
    walk(&workspace().join("README.md"), &mut found);
    let unlinked = documents().into_iter().filter(|document| {
        let is_template = TEMPLATES.contains(&document.name().as_str());
        !is_template && !found.contains(&document.path.canonicalize().unwrap())
    });
    none(
        &unlinked
            .map(|document| format!("no link leads to {}", document.name()))
            .collect::<Vec<_>>(),
    );
}

fn walk(path: &Path, found: &mut BTreeSet<PathBuf>) {
    let path = path.canonicalize().unwrap();
    if !found.insert(path.clone()) {
        return;
    }
    let document = Document::read(&path);
    let files = document.links.iter().filter_map(|link| link.split('#').next());
    for target in files.filter(|file| file.ends_with(".md") && is_relative(file)) {
        let target = path.with_file_name(target);
        if target.exists() {
            walk(&target, found);
        }
    }
}

#[test]
fn the_first_page_is_short() {
    let lines = document("README.md").lines;
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}

#[test]
fn every_folder_with_a_part_of_its_own_has_a_readme() {
    for folder in ["filter", "origin", "origin/topology", "rulesets", "envoy", "tests"] {
        assert!(workspace().join(folder).join("README.md").is_file(), "{folder}");
    }
}

#[test]
fn paths_in_the_text_exist() {
    let top = ["filter/", "origin/", "envoy/", "tests/", "rulesets/", ".ci/", ".github/"];
    let mut defects = Vec::new();
    for document in documents() {
        let code =
            document.inline.iter().filter(|code| top.iter().any(|top| code.starts_with(top)));
        let paths = code.filter(|code| !code.contains([' ', '*', '{']));
        let missing = paths.filter(|path| {
            !workspace().join(path).exists() && !document.path.with_file_name(path).exists()
        });
        defects.extend(missing.map(|path| format!("{}: there is no `{path}`", document.name())));
    }
    none(&defects);
}
