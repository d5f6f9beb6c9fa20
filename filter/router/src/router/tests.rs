mod failures;

use serde_json::{Value, json};

use super::*;
use crate::classify::{CallError, CallResponse};
use crate::decision::{Decision, Source};
use crate::reply::Rejection;
use crate::request::Headers;

const NOW: Millis = Millis(1_000_000);

/// A router without retries; [`failures`] has one with retries.
fn router(rules: &Value) -> Router {
    configured(rules, &json!({"cluster": "topology", "authority": "topology", "retries": 0}))
}

fn configured(rules: &Value, topology: &Value) -> Router {
    let config = json!({
        "topologyService": topology,
        "maxNamespaces": 2,
        "ruleset": {"reservedRoutes": ["api"], "rules": rules},
    });
    Router::from_json(config.to_string().as_bytes()).unwrap()
}

/// `/v2/NAMESPACE/…` by claim, then the first Cell.
fn by_namespace(extra: &Value) -> Router {
    let mut rule = json!({
        "id": "by_namespace",
        "match": {"type": "path", "regexValue": "/v2/(?<namespace>[^/]+)/.*"},
        "action": "classify",
        "classify": {"claims": [{"route": "${namespace}"}]},
    });
    rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    router(&json!([rule, first_cell()]))
}

/// `/jwt/auth` by scopes, then the first Cell.
fn by_scopes() -> Router {
    let rule = json!({
        "id": "by_scopes",
        "match": {"type": "path", "regexValue": "/jwt/auth"},
        "transform": {"type": "registry-scopes", "output": "scopes"},
        "validate": {"exist": ["${scopes.namespace}"]},
        "action": "classify",
        "classify": {"claims": [{"route": "${scopes.namespace}"}]},
    });
    router(&json!([rule, first_cell()]))
}

fn first_cell() -> Value {
    json!({"id": "first_cell", "action": "classify", "classify": {"type": "FIRST_CELL"}})
}

fn headers(path: &str) -> Headers {
    vec![(":path".to_owned(), path.as_bytes().to_vec())]
}

fn start(router: &Router, path: &str, now: Millis) -> Step {
    router.start(&Request::new(&headers(path)), now)
}

fn found(address: &str) -> CallResult {
    response(200, &json!({"action": "PROXY", "proxy": {"address": address}}))
}

fn not_found() -> CallResult {
    response(404, &json!({"code": 5}))
}

fn response(status: u16, body: &Value) -> CallResult {
    Ok(CallResponse { status, body: body.to_string().into_bytes(), ..CallResponse::default() })
}

#[track_caller]
fn called(step: Step) -> (Vec<String>, Pending) {
    match step {
        Step::Call(calls, pending) => (calls.into_iter().map(|call| call.body).collect(), pending),
        other => panic!("expected calls, got {other:?}"),
    }
}

#[track_caller]
fn decided(step: Step) -> Decision {
    match step {
        Step::Continue(decision) => decision,
        other => panic!("expected a decision, got {other:?}"),
    }
}

#[track_caller]
fn rejected(step: Step) -> Rejection {
    match step {
        Step::Reply(reply) => reply.rejection,
        other => panic!("expected a reply, got {other:?}"),
    }
}

/// Starts a request and resumes it with the results of its first calls.
fn resumed(router: &Router, path: &str, results: Vec<CallResult>, now: Millis) -> Step {
    let (_, pending) = called(start(router, path, now));
    router.resume(pending, results, now)
}

#[test]
fn a_found_cell_is_a_decision_with_headers() {
    let decision =
        decided(resumed(&by_namespace(&json!({})), "/v2/acme/x", vec![found("cell-1")], NOW));
    assert_eq!(decision.cluster, "cell-1");
    assert_eq!(
        decision.headers().collect::<Vec<_>>(),
        [
            ("x-cell-cluster", "cell-1"),
            ("x-gitlab-http-router-rule-action", "classify"),
            ("x-gitlab-http-router-rule-type", "route"),
        ]
    );
    assert_eq!(decision.source, Source::Service);
}

#[test]
fn a_fresh_classification_is_served_from_the_cache() {
    let router = by_namespace(&json!({}));
    decided(resumed(&router, "/v2/acme/x", vec![found("cell-1")], NOW));
    let decision = decided(start(&router, "/v2/acme/y", NOW));
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-1", Source::Cache));
}

#[test]
fn not_found_leads_to_the_next_rule_and_is_cached() {
    let router = by_namespace(&json!({}));
    let (calls, _) = called(resumed(&router, "/v2/unknown/x", vec![not_found()], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
    let (calls, _) = called(start(&router, "/v2/unknown/x", NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_entries_of_a_rule_are_tried_in_order() {
    let classify = json!({"classify": [
        {"claims": [{"route": "${namespace}"}]},
        {"claims": [{"redirectRoute": "${namespace}"}]},
    ]});
    let router = by_namespace(&classify);
    let (calls, pending) = called(resumed(&router, "/v2/acme/x", vec![not_found()], NOW));
    assert_eq!(calls, [r#"{"claims":[{"redirectRoute":"acme"}]}"#]);
    let decision = decided(router.resume(pending, vec![found("cell-2")], NOW));
    assert_eq!(decision.kind.as_deref(), Some("redirectRoute"));
}

#[test]
fn unavailable_without_a_last_good_classification_is_503_instead_of_the_next_rule() {
    let router = by_namespace(&json!({}));
    for failure in [Err(CallError::Timeout), response(500, &json!({})), response(200, &json!({}))] {
        let step = resumed(&router, "/v2/acme/x", vec![failure], NOW);
        assert_eq!(rejected(step), Rejection::Unavailable);
    }
    let (_, pending) = called(start(&router, "/v2/acme/x", NOW));
    assert_eq!(rejected(router.resume(pending, Vec::new(), NOW)), Rejection::Unavailable);
}

#[test]
fn on_unavailable_next_leads_to_the_next_rule() {
    let router = by_namespace(&json!({"onUnavailable": "next"}));
    let (calls, _) = called(resumed(&router, "/v2/acme/x", vec![Err(CallError::Timeout)], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_last_good_classification_is_served_in_an_outage_as_stale() {
    let router = by_namespace(&json!({}));
    decided(resumed(&router, "/v2/acme/x", vec![found("cell-1")], NOW));
    let outage = NOW.plus_seconds(100_000);
    let step = resumed(&router, "/v2/acme/x", vec![Err(CallError::Transport)], outage);
    let decision = decided(step);
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-1", Source::Stale));
    assert_eq!(decided(start(&router, "/v2/acme/x", outage)).source, Source::Stale);
    called(start(&router, "/v2/acme/x", outage.plus_seconds(5)));
}

#[test]
fn namespaces_of_one_cell_are_classified_together() {
    let router = by_scopes();
    let path = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let (calls, pending) = called(start(&router, path, NOW));
    assert_eq!(calls, [r#"{"claims":[{"route":"a"}]}"#, r#"{"claims":[{"route":"b"}]}"#]);
    let step = router.resume(pending, vec![found("cell-1"), found("cell-1")], NOW);
    assert_eq!(decided(step).cluster, "cell-1");
}

#[test]
fn the_results_of_several_queries_are_combined() {
    let path = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let result = |results| resumed(&by_scopes(), path, results, NOW);
    let timeout = || Err(CallError::Timeout);
    assert_eq!(rejected(result(vec![found("cell-1"), found("cell-2")])), Rejection::SeveralCells);
    assert_eq!(rejected(result(vec![found("cell-1"), timeout()])), Rejection::Unavailable);
    assert_eq!(rejected(result(vec![not_found(), timeout()])), Rejection::Unavailable);
    assert_eq!(decided(result(vec![not_found(), found("cell-2")])).cluster, "cell-2");
    assert_eq!(called(result(vec![not_found(), not_found()])).0, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn only_queries_that_are_not_cached_are_called() {
    let router = by_scopes();
    let one = "/jwt/auth?scope=repository:a/x:pull";
    decided(resumed(&router, one, vec![found("cell-1")], NOW));
    let two = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let (calls, pending) = called(start(&router, two, NOW));
    assert_eq!(calls, [r#"{"claims":[{"route":"b"}]}"#]);
    assert_eq!(
        rejected(router.resume(pending, vec![found("cell-2")], NOW)),
        Rejection::SeveralCells
    );
}

#[test]
fn no_call_is_made_for_too_many_namespaces() {
    let path = "/jwt/auth?scope=repository:a:pull+repository:b:pull+repository:c:pull";
    assert_eq!(rejected(start(&by_scopes(), path, NOW)), Rejection::TooManyNamespaces);
}

#[test]
fn a_registry_rule_uses_the_registry_address_and_skips_a_cell_without_one() {
    let router = by_namespace(&json!({
        "classify": {"claims": [{"route": "${namespace}"}], "target": "registry"},
    }));
    let both = response(
        200,
        &json!({"action": "PROXY",
        "proxy": {"address": "cell-1", "registryAddress": "registry-cell-1"}}),
    );
    let decision = decided(resumed(&router, "/v2/acme/x", vec![both], NOW));
    assert_eq!(decision.cluster, "registry-cell-1");
    let (calls, _) = called(resumed(&router, "/v2/globex/x", vec![found("cell-2")], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn a_proxy_rule_makes_no_call() {
    let router = router(&json!([
        {"id": "legacy", "action": "proxy", "proxy": {"address": "cell-1"}},
    ]));
    let decision = decided(start(&router, "/", NOW));
    assert_eq!((decision.cluster.as_str(), decision.kind), ("cell-1", None));
    assert_eq!(decision.source, Source::Ruleset);
}

#[test]
fn no_cell_is_503() {
    let router = router(&json!([first_cell()]));
    assert_eq!(rejected(resumed(&router, "/", vec![not_found()], NOW)), Rejection::NoCell);
}

#[test]
fn a_pending_request_keeps_only_the_headers_that_rules_read() {
    let router = by_namespace(&json!({"match": [
        {"type": "path", "regexValue": "/v2/(?<namespace>[^/]+)/.*"},
        {"type": "header", "name": "Job-Token"},
    ]}));
    let mut sent = headers("/v2/acme/x");
    for name in ["job-token", "user-agent", "authorization"] {
        sent.push((name.to_owned(), vec![0xff, 0xfe]));
    }
    let (_, pending) = called(router.start(&Request::new(&sent), NOW));
    let kept: Vec<_> = pending.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, [":path", "job-token"]);
}
