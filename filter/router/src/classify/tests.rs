use super::*;
use proptest::prelude::*;
use serde_json::json;

fn template(text: &str) -> Template {
    text.parse().unwrap()
}

fn variables(name: &str, value: Value) -> Variables {
    let mut variables = Variables::default();
    variables.set(name, value);
    variables
}

fn route_chain() -> Classification {
    let claims = vec![("route", template("${ns}")), ("redirectRoute", template("${ns}"))];
    Classification::by_claims(claims, Target::Web)
}

fn questions(entry: &Classification, variables: &Variables) -> Vec<String> {
    entry.questions(variables, &["api".to_owned()], RegistryDesign::Answer)
}

#[test]
fn claims_go_out_as_one_ordered_chain() {
    assert_eq!(
        questions(&route_chain(), &variables("ns", json!("acme"))),
        [r#"{"claims":[{"route":"acme"},{"redirectRoute":"acme"}]}"#]
    );
}

#[test]
fn each_item_of_a_list_is_its_own_question() {
    assert_eq!(
        questions(&route_chain(), &variables("ns", json!(["a", "b"]))),
        [
            r#"{"claims":[{"route":"a"},{"redirectRoute":"a"}]}"#,
            r#"{"claims":[{"route":"b"},{"redirectRoute":"b"}]}"#,
        ]
    );
}

#[test]
fn reserved_missing_and_oversized_values_are_not_asked() {
    for value in [json!("api"), json!(""), json!("x".repeat(256)), json!(["api"])] {
        assert!(questions(&route_chain(), &variables("ns", value.clone())).is_empty(), "{value}");
    }
    assert!(questions(&route_chain(), &Variables::default()).is_empty());
}

#[test]
fn what_is_no_int64_is_no_id_and_is_not_asked() {
    let cell = Classification::by_type(ClassifyType::CellId, Some(template("${v}")), Target::Web);
    let claims = vec![("organizationId", template("${v}"))];
    let organization = Classification::by_claims(claims, Target::Web);
    for value in [json!("abc"), json!("-1"), json!("1 OR 1"), json!(u64::MAX), json!("1e3")] {
        assert!(questions(&cell, &variables("v", value.clone())).is_empty(), "{value}");
        assert!(questions(&organization, &variables("v", value.clone())).is_empty(), "{value}");
    }
    assert_eq!(questions(&cell, &variables("v", json!(i64::MAX))).len(), 1);
}

#[test]
fn a_claim_without_a_value_is_left_out_of_the_chain() {
    let claims = vec![("route", template("${ns}")), ("organizationId", template("${org}"))];
    let entry = Classification::by_claims(claims, Target::Web);
    let asked = questions(&entry, &variables("org", json!(7)));
    assert_eq!(asked, [r#"{"claims":[{"organizationId":"7"}]}"#]);
}

#[test]
fn types_go_out_with_their_value_and_the_first_cell_without() {
    let cell = Classification::by_type(ClassifyType::CellId, Some(template("${c}")), Target::Web);
    assert_eq!(
        questions(&cell, &variables("c", json!("36"))),
        [r#"{"type":"CELL_ID","value":"36"}"#]
    );
    let first = Classification::by_type(ClassifyType::FirstCell, None, Target::Web);
    assert_eq!(questions(&first, &Variables::default()), [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_target_goes_out_only_where_the_design_wants_it() {
    let first = Classification::by_type(ClassifyType::FirstCell, None, Target::Registry);
    let asked = first.questions(&Variables::default(), &[], RegistryDesign::Request);
    assert_eq!(asked, [r#"{"type":"FIRST_CELL","target":"REGISTRY"}"#]);
}

fn answer(status: u16, body: &str) -> CallResult {
    Ok(HttpAnswer { status, body: body.as_bytes().to_vec(), ..HttpAnswer::default() })
}

fn cell(body: &Value) -> Rc<Cell> {
    match read(&answer(200, &body.to_string())) {
        Ok(Answer::Found(cell)) => cell,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cell_has_a_web_address_and_perhaps_a_registry_by_either_design() {
    let both = cell(&json!({"action": "PROXY", "matchedClaim": {"redirectRoute": "acme"},
        "proxy": {"address": "cell-1", "registryAddress": "registry-cell-1"}}));
    assert_eq!(both.matched_claim.as_deref(), Some("redirectRoute"));
    assert_eq!(both.address(Target::Web, RegistryDesign::Answer), Some("cell-1"));
    assert_eq!(both.address(Target::Registry, RegistryDesign::Answer), Some("registry-cell-1"));

    let one = cell(&json!({"action": "PROXY", "proxy": {"address": "cell-1"}, "later": 1}));
    assert_eq!(one.address(Target::Registry, RegistryDesign::Answer), None);
    assert_eq!(one.address(Target::Registry, RegistryDesign::Request), Some("cell-1"));
}

#[test]
fn only_404_is_not_found() {
    assert_eq!(read(&answer(404, r#"{"code":5}"#)), Ok(Answer::NotFound));
}

#[test]
fn failures_and_garbage_are_unavailable_never_not_found() {
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
        assert!(read(&answer(status, body)).is_err(), "{status} {body}");
    }
    for error in [CallError::Timeout, CallError::Transport, CallError::Dispatch] {
        assert_eq!(read(&Err(error)), Err(Failure::Call(error)));
    }
}

#[test]
fn a_failure_has_a_name_and_may_pass_or_not() {
    for (result, name, passes) in [
        (Err(CallError::Timeout), "timeout", true),
        (Err(CallError::Transport), "transport", true),
        (Err(CallError::Dispatch), "dispatch", true),
        (answer(504, "upstream request timeout"), "timeout", true),
        (answer(408, ""), "timeout", true),
        (answer(429, ""), "bad_status", true),
        (answer(500, ""), "bad_status", true),
        (answer(503, ""), "bad_status", true),
        (answer(400, ""), "bad_status", false),
        (answer(401, ""), "bad_status", false),
        (answer(403, ""), "bad_status", false),
        (answer(302, ""), "bad_status", false),
        (answer(200, "<html>"), "garbage", false),
        (answer(404, "<html>"), "garbage", false),
    ] {
        let read = read(&result);
        assert_eq!(CallOutcome::of(&read).as_str(), name, "{result:?}");
        assert_eq!(read.unwrap_err().is_transient(), passes, "{result:?}");
    }
}

proptest! {
    #[test]
    fn any_body_is_read_without_a_panic(status: u16, body: Vec<u8>) {
        let _ = read(&Ok(HttpAnswer { status, body, ..HttpAnswer::default() }));
    }
}
