use serde_json::json;

use super::*;
use crate::config::Target;

/// Two rules that classify a group, one in the path and one in a header, then the first Cell.
fn config() -> Value {
    let by = |id: &str, condition: Value| {
        let claims = json!([{"route": "${group}"}]);
        json!({"id": id, "match": condition, "action": "classify", "classify": {"claims": claims}})
    };
    cases::filter_config(&json!({"rules": [
        by("path", json!({"type": "path", "regexValue": "/(?<group>[a-z]+)"})),
        by("header", json!({"type": "header", "name": "group", "regexValue": "(?<group>.*)"})),
        {"id": "last", "action": "classify", "classify": {"type": "FIRST_CELL"}},
    ]}))
}

fn explained(path: &str, group: &str) -> Explanation {
    let directory = json!({
        "firstCell": "cell-1", "claims": {"route": {"acme": "cell-2"}}, "fails": ["down"],
    });
    let headers =
        [(":path", path), ("group", group)].map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()));
    let directory = serde_json::from_value(directory).unwrap();
    explain(&config(), &headers.into(), &directory).unwrap()
}

/// Returns the number of calls of each rule that was tried.
fn calls(explanation: &Explanation) -> Vec<(&str, usize)> {
    explanation.rules.iter().map(|rule| (rule.rule.as_str(), rule.calls.len())).collect()
}

#[test]
fn rules_are_explained_up_to_the_deciding_one() {
    let explanation = explained("/acme", "globex");
    assert_eq!(calls(&explanation), [("path", 1)]);
    let ExplainedOutcome::Decision { rule, cluster, target, .. } = explanation.outcome else {
        panic!()
    };
    assert_eq!((&*rule, &*cluster, target), ("path", "cell-2", Some(Target::Web)));
}

#[test]
fn each_rule_has_its_own_calls() {
    let explanation = explained("/unknown", "globex");
    assert_eq!(calls(&explanation), [("path", 1), ("header", 1), ("last", 1)]);
    assert_eq!(explanation.rules[1].calls[0].request, json!({"claims": [{"route": "globex"}]}));
    assert_eq!(explanation.rules[1].calls[0].status, Some(404));
}

#[test]
fn a_query_is_made_once_per_request() {
    let explanation = explained("/unknown", "unknown");
    assert_eq!(calls(&explanation), [("path", 1), ("header", 0), ("last", 1)]);
}

#[test]
fn a_rule_that_does_not_match_names_the_failed_condition() {
    let explanation = explained("/1", "acme");
    let why = "match[0]: the path does not match `/(?<group>[a-z]+)`";
    assert_eq!(explanation.rules[0].mismatch.as_deref(), Some(why));
    assert_eq!(explanation.rules[1].mismatch, None);
}

#[test]
fn a_reply_names_the_rule_that_rejected_the_request() {
    let ExplainedOutcome::Reply { rule, reason, status, .. } = explained("/down", "").outcome
    else {
        panic!()
    };
    assert_eq!((rule.as_deref(), reason, status), (Some("path"), "unavailable", 503));
}

#[test]
fn an_ambiguous_request_is_rejected_before_any_rule() {
    let explanation = explained("/v2/a%2fb", "");
    assert!(explanation.rules.is_empty());
    let ExplainedOutcome::Reply { rule, status, .. } = explanation.outcome else { panic!() };
    assert_eq!((rule, status), (None, 400));
}

#[test]
fn no_cell_is_attributed_to_no_rule() {
    let headers = [(":path".to_owned(), b"/acme".to_vec())];
    let explanation = explain(&config(), &headers.into(), &Directory::default()).unwrap();
    assert_eq!(calls(&explanation), [("path", 1), ("header", 0), ("last", 1)]);
    let ExplainedOutcome::Reply { rule, reason, .. } = explanation.outcome else { panic!() };
    assert_eq!((rule, reason), (None, "no_cell"));
}
