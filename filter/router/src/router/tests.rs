mod failures;

use serde_json::{Value, json};

use super::*;
use crate::classify::HttpAnswer;

const NOW: Millis = Millis(1_000_000);

/// Nothing is asked twice; [`failures`] has the other kind.
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
    answer(200, &json!({"action": "PROXY", "proxy": {"address": address}}))
}

fn not_found() -> CallResult {
    answer(404, &json!({"code": 5}))
}

fn answer(status: u16, body: &Value) -> CallResult {
    Ok(HttpAnswer { status, body: body.to_string().into_bytes(), ..HttpAnswer::default() })
}

#[track_caller]
fn asked(step: Step) -> (Vec<String>, Pending) {
    match step {
        Step::Ask(calls, pending) => (calls.into_iter().map(|call| call.body).collect(), pending),
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
fn refused(step: Step) -> Refusal {
    match step {
        Step::Reply(reply) => reply.refusal,
        other => panic!("expected a reply, got {other:?}"),
    }
}

/// Starts, answers the first round, and says what came of it.
fn answered(router: &Router, path: &str, answers: Vec<CallResult>, now: Millis) -> Step {
    let (_, pending) = asked(start(router, path, now));
    router.resume(pending, answers, now)
}

#[test]
fn a_found_cell_decides_and_says_who_asked() {
    let decision =
        decided(answered(&by_namespace(&json!({})), "/v2/acme/x", vec![found("cell-1")], NOW));
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
fn a_fresh_answer_is_not_asked_again() {
    let router = by_namespace(&json!({}));
    decided(answered(&router, "/v2/acme/x", vec![found("cell-1")], NOW));
    let decision = decided(start(&router, "/v2/acme/y", NOW));
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-1", Source::Cache));
}

#[test]
fn not_found_goes_to_the_next_rule_and_is_remembered() {
    let router = by_namespace(&json!({}));
    let (calls, _) = asked(answered(&router, "/v2/nobody/x", vec![not_found()], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
    let (calls, _) = asked(start(&router, "/v2/nobody/x", NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn questions_of_one_rule_are_tried_in_order() {
    let classify = json!({"classify": [
        {"claims": [{"route": "${namespace}"}]},
        {"claims": [{"redirectRoute": "${namespace}"}]},
    ]});
    let router = by_namespace(&classify);
    let (calls, pending) = asked(answered(&router, "/v2/acme/x", vec![not_found()], NOW));
    assert_eq!(calls, [r#"{"claims":[{"redirectRoute":"acme"}]}"#]);
    let decision = decided(router.resume(pending, vec![found("cell-2")], NOW));
    assert_eq!(decision.kind.as_deref(), Some("redirectRoute"));
}

#[test]
fn unavailable_without_a_last_good_answer_is_503_not_the_next_rule() {
    let router = by_namespace(&json!({}));
    for failure in [Err(CallError::Timeout), answer(500, &json!({})), answer(200, &json!({}))] {
        let step = answered(&router, "/v2/acme/x", vec![failure], NOW);
        assert_eq!(refused(step), Refusal::Unavailable);
    }
    let (_, pending) = asked(start(&router, "/v2/acme/x", NOW));
    assert_eq!(refused(router.resume(pending, Vec::new(), NOW)), Refusal::Unavailable);
}

#[test]
fn a_rule_may_say_that_unavailable_goes_on() {
    let router = by_namespace(&json!({"onUnavailable": "next"}));
    let (calls, _) = asked(answered(&router, "/v2/acme/x", vec![Err(CallError::Timeout)], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_last_good_answer_serves_an_outage_and_is_marked_stale() {
    let router = by_namespace(&json!({}));
    decided(answered(&router, "/v2/acme/x", vec![found("cell-1")], NOW));
    let outage = NOW.plus_seconds(100_000);
    let step = answered(&router, "/v2/acme/x", vec![Err(CallError::Transport)], outage);
    let decision = decided(step);
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-1", Source::Stale));
    assert_eq!(decided(start(&router, "/v2/acme/x", outage)).source, Source::Stale);
    asked(start(&router, "/v2/acme/x", outage.plus_seconds(5)));
}

#[test]
fn namespaces_are_asked_together_and_one_cell_wins() {
    let router = by_scopes();
    let path = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let (calls, pending) = asked(start(&router, path, NOW));
    assert_eq!(calls, [r#"{"claims":[{"route":"a"}]}"#, r#"{"claims":[{"route":"b"}]}"#]);
    let step = router.resume(pending, vec![found("cell-1"), found("cell-1")], NOW);
    assert_eq!(decided(step).cluster, "cell-1");
}

#[test]
fn what_a_round_of_answers_comes_to() {
    let path = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let round = |answers| answered(&by_scopes(), path, answers, NOW);
    let timeout = || Err(CallError::Timeout);
    assert_eq!(refused(round(vec![found("cell-1"), found("cell-2")])), Refusal::SeveralCells);
    assert_eq!(refused(round(vec![found("cell-1"), timeout()])), Refusal::Unavailable);
    assert_eq!(refused(round(vec![not_found(), timeout()])), Refusal::Unavailable);
    assert_eq!(decided(round(vec![not_found(), found("cell-2")])).cluster, "cell-2");
    assert_eq!(asked(round(vec![not_found(), not_found()])).0, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn only_what_the_cache_lacks_is_asked() {
    let router = by_scopes();
    let one = "/jwt/auth?scope=repository:a/x:pull";
    decided(answered(&router, one, vec![found("cell-1")], NOW));
    let two = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";
    let (calls, pending) = asked(start(&router, two, NOW));
    assert_eq!(calls, [r#"{"claims":[{"route":"b"}]}"#]);
    assert_eq!(refused(router.resume(pending, vec![found("cell-2")], NOW)), Refusal::SeveralCells);
}

#[test]
fn over_the_cap_nothing_is_asked() {
    let path = "/jwt/auth?scope=repository:a:pull+repository:b:pull+repository:c:pull";
    assert_eq!(refused(start(&by_scopes(), path, NOW)), Refusal::TooManyNamespaces);
}

#[test]
fn a_registry_rule_takes_the_registrys_address_and_skips_a_cell_without_one() {
    let router = by_namespace(&json!({
        "classify": {"claims": [{"route": "${namespace}"}], "target": "registry"},
    }));
    let both = answer(
        200,
        &json!({"action": "PROXY",
        "proxy": {"address": "cell-1", "registryAddress": "registry-cell-1"}}),
    );
    let decision = decided(answered(&router, "/v2/acme/x", vec![both], NOW));
    assert_eq!(decision.cluster, "registry-cell-1");
    let (calls, _) = asked(answered(&router, "/v2/globex/x", vec![found("cell-2")], NOW));
    assert_eq!(calls, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn a_fixed_rule_asks_nobody() {
    let router = router(&json!([
        {"id": "legacy", "action": "proxy", "proxy": {"address": "cell-1"}},
    ]));
    let decision = decided(start(&router, "/", NOW));
    assert_eq!((decision.cluster.as_str(), decision.kind), ("cell-1", None));
    assert_eq!(decision.source, Source::Ruleset);
}

#[test]
fn no_cell_at_all_is_503() {
    let router = router(&json!([first_cell()]));
    assert_eq!(refused(answered(&router, "/", vec![not_found()], NOW)), Refusal::NoCell);
}

#[test]
fn what_waits_keeps_only_the_headers_rules_read() {
    let router = by_namespace(&json!({"match": [
        {"type": "path", "regexValue": "/v2/(?<namespace>[^/]+)/.*"},
        {"type": "header", "name": "Job-Token"},
    ]}));
    let mut sent = headers("/v2/acme/x");
    for name in ["job-token", "user-agent", "authorization"] {
        sent.push((name.to_owned(), vec![0xff, 0xfe]));
    }
    let (_, pending) = asked(router.start(&Request::new(&sent), NOW));
    let kept: Vec<_> = pending.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, [":path", "job-token"]);
}
