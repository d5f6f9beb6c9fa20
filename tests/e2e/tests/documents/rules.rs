//! The examples of rules compile, their cases hold, and every field is documented.

use router::cases::{self, CaseFile};
use router::{Millis, Router};
use serde_json::{Value, json};

use super::{document, none, source};

/// A rule alone, with the unconditional one that a ruleset ends with.
fn ruleset(example: Value) -> Value {
    if example.get("rules").is_some() {
        return example;
    }
    let last =
        json!({"id": "first_cell", "action": "classify", "classify": {"type": "FIRST_CELL"}});
    json!({"rules": [example, last]})
}

fn compiled(ruleset: &Value) -> Result<Router, String> {
    let config = cases::filter_config(ruleset).to_string();
    Router::from_json(config.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn examples_of_rules_compile_and_their_cases_hold() {
    let document = document("rulesets/README.md");
    let (mut defects, mut last) = (Vec::new(), Value::Null);
    for block in document.blocks_in(&["json"]) {
        let example: Value = serde_json::from_str(&block.text).unwrap();
        let checked = if example.get("cases").is_some() {
            run(&block.text, &last)
        } else {
            last = ruleset(example);
            compiled(&last).map(drop)
        };
        if let Err(problem) = checked {
            defects.push(format!("{}:{}: {problem}", document.name(), block.line));
        }
    }
    none(&defects);
}

/// Runs an example of cases against the ruleset before it.
fn run(cases: &str, ruleset: &Value) -> Result<(), String> {
    let file = CaseFile::from_json(cases.as_bytes()).map_err(|error| error.to_string())?;
    for case in &file.cases {
        let router = compiled(ruleset)?;
        let seen = cases::run(&router, &case.request, file.directory(case), Millis(0));
        case.expect.check(&seen).map_err(|difference| format!("{}: {difference}", case.name))?;
    }
    Ok(())
}

#[test]
fn every_field_of_the_rule_language_is_documented() {
    let schema: Value = serde_json::from_str(&source("rulesets/schema.json")).unwrap();
    let document = document("rulesets/README.md");
    let text = source("rulesets/README.md");
    let names = |pointer: &str| -> Vec<String> {
        let object = schema.pointer(pointer).and_then(Value::as_object);
        object.unwrap_or_else(|| panic!("{pointer}")).keys().cloned().collect()
    };
    for (pointer, head) in
        [("/properties", "field of a ruleset"), ("/$defs/Rule/properties", "field of a rule")]
    {
        let cells =
            document.tables_of(head).flat_map(|table| &table.rows).map(|row| row[0].as_str());
        let cells = cells.collect::<Vec<_>>().join(" ");
        for name in names(pointer) {
            assert!(cells.contains(&format!("`{name}")), "{head}: `{name}` is missing");
        }
    }
    let kinds = |definition: &str| {
        let kinds = schema.pointer(&format!("/$defs/{definition}/oneOf")).and_then(Value::as_array);
        let constant = |kind: &Value| {
            kind.pointer("/properties/type/const").and_then(Value::as_str).map(str::to_owned)
        };
        kinds
            .unwrap_or_else(|| panic!("{definition}"))
            .iter()
            .filter_map(constant)
            .collect::<Vec<_>>()
    };
    for kind in kinds("Match").into_iter().chain(kinds("Transform")) {
        let shown = text.contains(&format!("`{kind}`")) || text.contains(&format!("\"{kind}\""));
        assert!(shown, "the type `{kind}` is missing");
    }
}
