use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::response::CallFailure;
use super::*;
use crate::config::{ClassifyType, RegistryDesign, Target};
use crate::rules::variables::{Template, Variables};

fn template(text: &str) -> Template {
    text.parse().unwrap()
}

fn variables(name: &str, value: Value) -> Variables {
    let mut variables = Variables::default();
    variables.set(name, value);
    variables
}

fn route_chain() -> ClassifyEntry {
    let claims = vec![("route", template("${ns}")), ("redirectRoute", template("${ns}"))];
    ClassifyEntry::by_claims(claims, Target::Web)
}

fn queries(entry: &ClassifyEntry, variables: &Variables) -> Vec<String> {
    entry.queries(variables, &["api".to_owned()], RegistryDesign::Answer)
}

#[test]
fn claims_are_sent_as_one_ordered_chain() {
    assert_eq!(
        queries(&route_chain(), &variables("ns", json!("acme"))),
        [r#"{"claims":[{"route":"acme"},{"redirectRoute":"acme"}]}"#]
    );
}

#[test]
fn each_item_of_a_list_is_a_query() {
    assert_eq!(
        queries(&route_chain(), &variables("ns", json!(["a", "b"]))),
        [
            r#"{"claims":[{"route":"a"},{"redirectRoute":"a"}]}"#,
            r#"{"claims":[{"route":"b"},{"redirectRoute":"b"}]}"#,
        ]
    );
}

#[test]
fn reserved_missing_and_oversized_values_are_not_sent() {
    for value in [json!("api"), json!(""), json!("x".repeat(256)), json!(["api"])] {
        assert!(queries(&route_chain(), &variables("ns", value.clone())).is_empty(), "{value}");
    }
    assert!(queries(&route_chain(), &Variables::default()).is_empty());
}

#[test]
fn an_id_that_is_not_an_int64_is_not_sent() {
    let cell = ClassifyEntry::by_type(ClassifyType::CellId, Some(template("${v}")), Target::Web);
    let claims = vec![("organizationId", template("${v}"))];
    let organization = ClassifyEntry::by_claims(claims, Target::Web);
    for value in [json!("abc"), json!("-1"), json!("1 OR 1"), json!(u64::MAX), json!("1e3")] {
        assert!(queries(&cell, &variables("v", value.clone())).is_empty(), "{value}");
        assert!(queries(&organization, &variables("v", value.clone())).is_empty(), "{value}");
    }
    assert_eq!(queries(&cell, &variables("v", json!(i64::MAX))).len(), 1);
}

#[test]
fn a_claim_without_a_value_is_omitted_from_the_chain() {
    let claims = vec![("route", template("${ns}")), ("organizationId", template("${org}"))];
    let entry = ClassifyEntry::by_claims(claims, Target::Web);
    let sent = queries(&entry, &variables("org", json!(7)));
    assert_eq!(sent, [r#"{"claims":[{"organizationId":"7"}]}"#]);
}

#[test]
fn types_are_sent_with_their_value_and_first_cell_without() {
    let cell = ClassifyEntry::by_type(ClassifyType::CellId, Some(template("${c}")), Target::Web);
    assert_eq!(
        queries(&cell, &variables("c", json!("36"))),
        [r#"{"type":"CELL_ID","value":"36"}"#]
    );
    let first = ClassifyEntry::by_type(ClassifyType::FirstCell, None, Target::Web);
    assert_eq!(queries(&first, &Variables::default()), [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_target_is_sent_only_in_the_request_design() {
    let first = ClassifyEntry::by_type(ClassifyType::FirstCell, None, Target::Registry);
    let sent = first.queries(&Variables::default(), &[], RegistryDesign::Request);
    assert_eq!(sent, [r#"{"type":"FIRST_CELL","target":"REGISTRY"}"#]);
}

fn response(status: u16, body: &str) -> CallResult {
    Ok(CallResponse { status, body: body.as_bytes().to_vec(), ..CallResponse::default() })
}

fn cell(body: &Value) -> Rc<CellAddresses> {
    match read(&response(200, &body.to_string())) {
        Ok(Classification::Found(cell)) => cell,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_designs_give_a_web_address_and_an_optional_registry_address() {
    let both = cell(&json!({"action": "PROXY", "matchedClaim": {"redirectRoute": "acme"},
        "proxy": {"address": "cell-1", "registryAddress": "registry-cell-1"}}));
    assert_eq!(both.matched_claim.as_deref(), Some("redirectRoute"));
    assert_eq!(both.for_target(Target::Web, RegistryDesign::Answer), Some("cell-1"));
    assert_eq!(both.for_target(Target::Registry, RegistryDesign::Answer), Some("registry-cell-1"));

    let one = cell(&json!({"action": "PROXY", "proxy": {"address": "cell-1"}, "later": 1}));
    assert_eq!(one.for_target(Target::Registry, RegistryDesign::Answer), None);
    assert_eq!(one.for_target(Target::Registry, RegistryDesign::Request), Some("cell-1"));
}

#[test]
fn the_services_own_404_means_not_found() {
    assert_eq!(read(&response(404, r#"{"code":5}"#)), Ok(Classification::NotFound));
}

#[test]
fn failures_and_malformed_responses_never_mean_not_found() {
    for (status, body) in [
        (500, ""),
        (503, "no healthy upstream"),
        (400, r#"{"code":3}"#),
        (429, ""),
        (302, ""),
        (200, ""),
        (200, "<html>"),
        (200, "{}"),
        (200, r#"{"action":"PROXY"}"#),
        (200, r#"{"action":"ACTION_UNSPECIFIED","proxy":{"address":"a"}}"#),
        (200, r#"{"action":"PROXY","proxy":{"address":""}}"#),
        (200, r#"{"action":"PROXY","proxy":{"address":"a\r\nx: y"}}"#),
        (200, r#"{"action":"PROXY","proxy":{"address":"a/b"}}"#),
    ] {
        assert!(read(&response(status, body)).is_err(), "{status} {body}");
    }
    for error in [CallError::Timeout, CallError::Transport, CallError::Dispatch] {
        assert_eq!(read(&Err(error)), Err(CallFailure::NoResponse(error)));
    }
}

#[test]
fn each_failure_has_a_name_and_is_transient_or_not() {
    for (result, name, transient) in [
        (Err(CallError::Timeout), "timeout", true),
        (Err(CallError::Transport), "transport", true),
        (Err(CallError::Dispatch), "dispatch", true),
        (response(504, "upstream request timeout"), "timeout", true),
        (response(408, ""), "timeout", true),
        (response(429, ""), "bad_status", true),
        (response(500, ""), "bad_status", true),
        (response(503, ""), "bad_status", true),
        (response(400, ""), "bad_status", false),
        (response(401, ""), "bad_status", false),
        (response(403, ""), "bad_status", false),
        (response(302, ""), "bad_status", false),
        (response(200, "<html>"), "garbage", false),
        (response(404, "<html>"), "garbage", false),
    ] {
        let read = read(&result);
        assert_eq!(CallOutcome::of(&read).as_str(), name, "{result:?}");
        assert_eq!(read.unwrap_err().is_transient(), transient, "{result:?}");
    }
}

proptest! {
    #[test]
    fn no_response_causes_a_panic(status: u16, body: Vec<u8>) {
        let _ = read(&Ok(CallResponse { status, body, ..CallResponse::default() }));
    }
}
