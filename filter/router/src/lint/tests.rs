use serde_json::{Value, json};

use super::*;
use crate::config;

fn problems(rules: &Value, cases: Option<&Value>) -> Vec<String> {
    let ruleset = json!({"rules": rules}).to_string();
    let ruleset = config::from_json(ruleset.as_bytes()).unwrap();
    let cases = cases.map(|cases| CaseFile::from_json(cases.to_string().as_bytes()).unwrap());
    let warnings = warnings(&ruleset, cases.as_ref()).unwrap();
    warnings.iter().map(ToString::to_string).collect()
}

fn proxy(id: &str, regex: &str) -> Value {
    let to = json!({"type": "path", "regexValue": regex});
    json!({"id": id, "match": to, "action": "proxy", "proxy": {"address": "cell-1"}})
}

#[test]
fn a_variable_nobody_reads_is_odd() {
    let rule = json!({
        "id": "one",
        "match": {"type": "cookie", "regexName": "(?<key>.*)", "regexValue": "(?<a>.)(?<b>.*)"},
        "transform": [
            {"type": "jwt-claims", "input": "${b}", "output": "claims"},
            {"type": "decode-base64-match", "input": "${a}", "regexValue": "(?<c>.*)"},
        ],
        "action": "classify",
        "classify": {"type": "CELL_ID", "value": "${claims.cell_id}"},
    });
    assert_eq!(
        problems(&json!([rule]), None),
        [
            "rule `one`, match[0].regexName: variable `key` is never read",
            "rule `one`, transform[1].regexValue: variable `c` is never read",
        ]
    );
}

#[test]
fn a_rule_behind_a_fixed_way_with_the_same_match_is_odd() {
    let expected = ["rule `two`, match: unreachable: rule `one` has the same and always decides"];
    assert_eq!(problems(&json!([proxy("one", "/a"), proxy("two", "/a")]), None), expected);
    assert!(problems(&json!([proxy("one", "/a"), proxy("two", "/b")]), None).is_empty());
}

#[test]
fn a_last_rule_that_would_go_on_is_odd() {
    let mut last = proxy("last", "/a");
    last["onUnavailable"] = json!("next");
    assert_eq!(
        problems(&json!([proxy("one", "/b"), last.clone()]), None),
        ["rule `last`, onUnavailable: no rule is next"]
    );
    assert!(problems(&json!([last, proxy("one", "/b")]), None).is_empty());
}

#[test]
fn a_rule_without_a_case_is_odd_where_there_are_cases() {
    let cases = json!({"topology": {}, "cases": [
        {"name": "a", "request": {"path": "/a"}, "expect": {"rule": "one", "cell": "cell-1"}},
    ]});
    let rules = json!([proxy("one", "/a"), proxy("two", "/b")]);
    assert_eq!(problems(&rules, Some(&cases)), ["rule `two`, id: no case ends at this rule"]);
}
