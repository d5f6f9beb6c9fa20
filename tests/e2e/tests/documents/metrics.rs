//! Metrics in the documents exist, and every metric is documented.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::markdown::{Document, captures};
use super::{document, documents, none, source};

/// Names that look like a metric's.
const OTHERS: [&str; 1] = ["topology_service"];

/// The metrics that a program registers. Its page cannot say: it shows only those with a value.
fn registered(path: &str, prefix: &str) -> BTreeSet<String> {
    let source = source(path);
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let types = types_of_fields(code);
    let call = Regex::new("\\.register(?:_with_unit)?\\([ \n]*\"([a-z_]+)\"([^;]*);").unwrap();
    let metrics = call.captures_iter(code).map(|found| {
        let (name, arguments) = (&found[1], &found[2]);
        let before = code.get(..found.get(0).unwrap().start()).unwrap();
        let field = last_field(arguments).or_else(|| last_field(before)).unwrap();
        let unit = captures("Unit::([A-Z][a-z]+)", arguments).pop();
        let unit = unit.map(|unit| format!("_{}", unit.to_lowercase())).unwrap_or_default();
        let total = if types[&field].contains("Counter") { "_total" } else { "" };
        format!("{prefix}_{name}{unit}{total}")
    });
    // The metrics page adds it.
    metrics.chain([format!("{prefix}_build_info")]).collect()
}

/// The types of the fields in a piece of code.
fn types_of_fields(code: &str) -> BTreeMap<String, String> {
    // Where a name stands several times, the last one collected counts: the declaration is first.
    let lines = code.lines().rev().map(|line| line.trim().trim_start_matches("pub "));
    let fields = lines.filter_map(|line| line.split_once(": "));
    fields.map(|(field, kind)| (field.to_owned(), kind.to_owned())).collect()
}

/// The last field of `self` that a piece of code names.
fn last_field(code: &str) -> Option<String> {
    captures("self\\.([a-z_]+)\\.", code).pop()
}

/// The metrics that the filter defines.
fn filter_metrics() -> BTreeSet<String> {
    let source = source("filter/src/metrics.rs");
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let call = "(?:counter|by|new|[A-Za-z]+::[A-Z][A-Za-z]+,)[( &]*(?:format!\\(\\s*)?\"([a-z_]+)";
    captures(call, code).iter().map(|name| format!("cell_router_{name}")).collect()
}

/// The metrics that the table of a document lists.
fn documented(document: &Document, prefix: &str) -> BTreeSet<String> {
    let tables = document.tables_of("metric");
    let cells = tables.flat_map(|table| &table.rows).map(|row| row[0].clone());
    let names = cells.flat_map(|cell| captures("`([a-z_]+)`", &cell));
    names
        .map(|name| if name.starts_with(prefix) { name } else { format!("{prefix}_{name}") })
        .collect()
}

fn all() -> [(&'static str, &'static str, BTreeSet<String>); 3] {
    [
        (
            "origin/README.md",
            "dependency_proxy",
            registered("origin/src/metrics.rs", "dependency_proxy"),
        ),
        (
            "origin/topology/README.md",
            "topology",
            registered("origin/topology/src/metrics.rs", "topology"),
        ),
        ("filter/README.md", "cell_router", filter_metrics()),
    ]
}

#[test]
fn each_table_lists_the_metrics_there_are() {
    for (path, prefix, known) in all() {
        let documented = documented(&document(path), prefix);
        let missing: Vec<_> = known.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&known).collect();
        assert!(known.len() > 3, "{path}: found only {known:?}");
        assert!(missing.is_empty() && unknown.is_empty(), "{path}: {missing:?} {unknown:?}");
    }
}

#[test]
fn metrics_in_the_text_exist() {
    let known: BTreeSet<_> = all().into_iter().flat_map(|(_, _, names)| names).collect();
    let mut defects = Vec::new();
    for document in documents().iter().filter(|document| !document.name().ends_with("CHANGELOG.md"))
    {
        for code in &document.inline {
            let pattern = "^((?:dependency_proxy|topology|cell_router)_[a-z_]+)";
            let names = captures(pattern, code).into_iter();
            let unknown =
                names.filter(|name| !known.contains(name) && !OTHERS.contains(&name.as_str()));
            defects.extend(
                unknown.map(|name| format!("{}: there is no metric `{name}`", document.name())),
            );
        }
    }
    none(&defects);
}
