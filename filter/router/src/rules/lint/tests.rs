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
fn an_unused_variable_is_reported() {
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
            "rule `one`, match[0].regexName: variable `key` is never used",
            "rule `one`, transform[1].regexValue: variable `c` is never used",
        ]
    );
}

#[test]
fn a_rule_behind_a_proxy_rule_with_the_same_match_is_reported() {
    let expected =
        ["rule `two`, match: unreachable: rule `one` has the same match and always decides"];
    assert_eq!(problems(&json!([proxy("one", "/a"), proxy("two", "/a")]), None), expected);
    assert!(problems(&json!([proxy("one", "/a"), proxy("two", "/b")]), None).is_empty());
}

#[test]
fn on_unavailable_next_in_the_last_rule_is_reported() {
    let mut last = proxy("last", "/a");
    last["onUnavailable"] = json!("next");
    assert_eq!(
        problems(&json!([proxy("one", "/b"), last.clone()]), None),
        ["rule `last`, onUnavailable: `next` has no effect in the last rule"]
    );
    assert!(problems(&json!([last, proxy("one", "/b")]), None).is_empty());
}

#[test]
fn a_rule_without_a_case_is_reported_if_the_ruleset_has_cases() {
    let cases = json!({"topology": {}, "cases": [
        {"name": "a", "request": {"path": "/a"}, "expect": {"rule": "one", "cell": "cell-1"}},
    ]});
    let rules = json!([proxy("one", "/a"), proxy("two", "/b")]);
    assert_eq!(problems(&rules, Some(&cases)), ["rule `two`, id: no case expects this rule"]);
}
