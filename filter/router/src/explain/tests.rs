use serde_json::json;

use super::*;

/// Two rules that ask for a group, one in the path and one in a header, then the first Cell.
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

/// Of each rule that was tried, how many questions it asked.
fn asked(explanation: &Explanation) -> Vec<(&str, usize)> {
    explanation.rules.iter().map(|tried| (tried.rule.as_str(), tried.calls.len())).collect()
}

#[test]
fn rules_are_told_up_to_the_one_that_decides() {
    let explanation = explained("/acme", "globex");
    assert_eq!(asked(&explanation), [("path", 1)]);
    let Outcome::Decision { rule, cluster, target, .. } = explanation.outcome else { panic!() };
    assert_eq!((&*rule, &*cluster, target), ("path", "cell-2", Some(Target::Web)));
}

#[test]
fn each_rule_has_the_questions_it_asked_itself() {
    let explanation = explained("/nobody", "globex");
    assert_eq!(asked(&explanation), [("path", 1), ("header", 1), ("last", 1)]);
    assert_eq!(explanation.rules[1].calls[0].question, json!({"claims": [{"route": "globex"}]}));
    assert_eq!(explanation.rules[1].calls[0].status, Some(404));
}

#[test]
fn a_question_asked_before_is_not_asked_again() {
    let explanation = explained("/nobody", "nobody");
    assert_eq!(asked(&explanation), [("path", 1), ("header", 0), ("last", 1)]);
}

#[test]
fn a_rule_that_does_not_apply_says_which_condition_fails() {
    let explanation = explained("/1", "acme");
    let why = "match[0]: the path does not match `/(?<group>[a-z]+)`";
    assert_eq!(explanation.rules[0].miss.as_deref(), Some(why));
    assert_eq!(explanation.rules[1].miss, None);
}

#[test]
fn an_answer_at_the_edge_names_the_rule_that_led_to_it() {
    let Outcome::Reply { rule, refusal, status, .. } = explained("/down", "").outcome else {
        panic!()
    };
    assert_eq!((rule.as_deref(), refusal, status), (Some("path"), "unavailable", 503));
}

#[test]
fn what_no_rule_should_see_is_refused_by_none() {
    let explanation = explained("/v2/a%2fb", "");
    assert!(explanation.rules.is_empty());
    let Outcome::Reply { rule, status, .. } = explanation.outcome else { panic!() };
    assert_eq!((rule, status), (None, 400));
}

#[test]
fn where_not_even_the_last_rule_finds_a_cell_no_rule_is_to_blame() {
    let headers = [(":path".to_owned(), b"/acme".to_vec())];
    let explanation = explain(&config(), &headers.into(), &Directory::default()).unwrap();
    assert_eq!(asked(&explanation), [("path", 1), ("header", 0), ("last", 1)]);
    let Outcome::Reply { rule, refusal, .. } = explanation.outcome else { panic!() };
    assert_eq!((rule, refusal), (None, "no_cell"));
}
