//! Configuration keys in the documents are keys of the programs, with their defaults.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{document, documents, none, source};

/// Every key of the filter's configuration with its value in the example, as `cache.maxEntries`.
fn filter_keys() -> BTreeMap<String, Value> {
    let example: Value = serde_json::from_str(&source("envoy/filter.example.json")).unwrap();
    let mut keys = BTreeMap::new();
    flatten("", &example, &mut keys);
    keys
}

fn flatten(prefix: &str, value: &Value, keys: &mut BTreeMap<String, Value>) {
    match value.as_object() {
        Some(object) if prefix != "ruleset" => {
            for (key, value) in object {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, keys);
            }
        }
        _ => drop(keys.insert(prefix.to_owned(), value.clone())),
    }
}

#[test]
fn the_filters_keys_are_documented_with_their_defaults() {
    let document = document("filter/README.md");
    let rows: Vec<_> = document.tables_of("key").flat_map(|table| &table.rows).collect();
    let documented: BTreeMap<_, _> =
        rows.iter().map(|row| (row[0].replace('`', ""), row[1].replace('`', ""))).collect();
    let known = filter_keys();
    assert!(documented.keys().eq(known.keys()), "{documented:?}\n{known:?}");
    for (key, default) in documented {
        let shown = known[&key].to_string().replace('"', "");
        let no_default = matches!(default.as_str(), "required" | "none");
        assert!(no_default || default == shown, "{key}: {default}, in the example {shown}");
    }
}

#[test]
fn the_origins_keys_in_the_text_exist() {
    let example = source("origin/origin.example.toml");
    let mut defects = Vec::new();
    for document in documents() {
        for code in &document.inline {
            let Some((section, key)) =
                code.strip_prefix('[').and_then(|code| code.split_once("] "))
            else {
                continue;
            };
            let key = key.split([' ', ':']).next().unwrap_or_default();
            if !has_key(&example, section, key) {
                defects.push(format!("{}: there is no `{code}`", document.name()));
            }
        }
    }
    none(&defects);
}

/// Whether the example shows the key in this section, commented out or not.
fn has_key(example: &str, section: &str, key: &str) -> bool {
    let mut current = String::new();
    example.lines().any(|line| {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = name.to_owned();
        }
        current == section && line.split_once(" = ").is_some_and(|(name, _)| name == key)
    })
}
