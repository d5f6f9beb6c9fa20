//! The schemas for editors: up to date, valid for the shipped files, and strict.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets")
}

fn validator(schema: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

fn files(wanted: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    let is_json = |name: &str| name.ends_with(".json") && !name.ends_with("schema.json");
    let wanted = named.filter(|(name, _)| is_json(name) && wanted(name));
    let files: Vec<_> = wanted
        .map(|(name, path)| (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap()))
        .collect();
    assert!(!files.is_empty());
    files
}

#[test]
fn the_committed_schemas_are_up_to_date() {
    for (name, schema) in
        [("schema.json", router::schema::ruleset()), ("cases.schema.json", router::schema::cases())]
    {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let committed = fs::read_to_string(folder().join(name)).unwrap();
        let current = read(&committed) == read(&schema);
        assert!(current, "rulesets/{name} is out of date: run `just schema`");
    }
}

#[test]
fn every_shipped_file_conforms_to_the_schema_it_names() {
    for (schema, own, cases) in [
        (router::schema::ruleset(), "./schema.json", false),
        (router::schema::cases(), "./cases.schema.json", true),
    ] {
        let validator = validator(&schema);
        for (name, file) in files(|name| name.ends_with(".cases.json") == cases) {
            let problems: Vec<_> = validator.iter_errors(&file).map(|e| e.to_string()).collect();
            assert!(problems.is_empty(), "{name}: {problems:?}");
            assert_eq!(file["$schema"], own, "{name}");
        }
    }
}

#[test]
fn an_invalid_ruleset_does_not_conform_to_the_schema() {
    let validator = validator(&router::schema::ruleset());
    let good = json!({"rules": [{
        "id": "one", "action": "classify",
        "match": {"type": "path", "regexValue": "/(?<name>.*)"},
        "classify": {"type": "CELL_ID", "value": "${name}"},
    }]});
    assert!(validator.is_valid(&good));
    for (pointer, field, value) in [
        ("", "rule", json!([])),
        ("", "rules", json!([])),
        ("/rules/0", "id", json!("a b")),
        ("/rules/0", "mtach", json!([])),
        ("/rules/0", "action", json!("redirect")),
        ("/rules/0", "onUnavailable", json!("ignore")),
        ("/rules/0/match", "type", json!("paht")),
        ("/rules/0/match", "regex_value", json!("x")),
        ("/rules/0/match", "regexValue", json!(7)),
        ("/rules/0/classify", "type", json!("FIRST")),
        ("/rules/0/classify", "target", json!("git")),
        ("/rules/0/classify", "claims", json!([{"rout": "a"}])),
    ] {
        let mut broken = good.clone();
        broken.pointer_mut(pointer).unwrap()[field] = value;
        assert!(!validator.is_valid(&broken), "{broken}");
    }
}
