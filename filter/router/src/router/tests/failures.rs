//! Retries, outages, and the revalidation of expired classifications.

use super::*;
use crate::classify::CallOutcome;
use crate::stats::{Availability, CacheLookup, Stats};

const PATH: &str = "/v2/acme/x";
const TWO: &str = "/jwt/auth/?scope=repository:a/x:pull&scope=repository:b/x:pull";

/// A router with two retries, a timeout of half a second and a budget of a second.
fn with_retries() -> Router {
    configured(
        &json!([{
            "id": "by_scopes",
            "match": {"type": "path", "regexValue": "/jwt/auth/"},
            "transform": {"type": "registry-scopes", "output": "scopes"},
            "action": "classify",
            "classify": {"claims": [{"route": "${scopes.namespace}"}]},
        }, {
            "id": "by_namespace",
            "match": {"type": "path", "regexValue": "/v2/(?<namespace>[^/]+)/.*"},
            "action": "classify",
            "classify": {"claims": [{"route": "${namespace}"}]},
        }, first_cell()]),
        &json!({"cluster": "t", "authority": "t", "timeoutMs": 500, "budgetMs": 1000}),
    )
}

fn calls(step: Step) -> (Vec<Call>, Pending) {
    match step {
        Step::Call(calls, pending) => (calls, pending),
        other => panic!("expected calls, got {other:?}"),
    }
}

fn retry_after(status: u16, seconds: &str) -> CallResult {
    let retry_after = Some(seconds.as_bytes().to_vec());
    Ok(CallResponse { status, retry_after, ..CallResponse::default() })
}

fn failure(status: u16) -> CallResult {
    response(status, &json!({}))
}

#[test]
fn a_transient_failure_is_retried_with_growing_backoff() {
    let router = with_retries();
    let (first, pending) = calls(start(&router, PATH, NOW));
    assert_eq!((first[0].delay_ms, first[0].timeout_ms), (0, 500));
    let (second, pending) = calls(router.resume(pending, vec![failure(503)], NOW));
    assert!((25..=50).contains(&second[0].delay_ms), "{second:?}");
    let (third, pending) = calls(router.resume(pending, vec![Err(CallError::Transport)], NOW));
    assert!((50..=100).contains(&third[0].delay_ms), "{third:?}");
    assert_eq!((&first[0].body, &second[0].body), (&second[0].body, &third[0].body));
    assert_eq!(decided(router.resume(pending, vec![found("cell-1")], NOW)).cluster, "cell-1");
    assert_eq!(router.take_stats().retries, 2);
}

#[test]
fn after_the_last_retry_the_reply_is_a_503_that_names_the_rule() {
    let router = with_retries();
    let (_, mut pending) = calls(start(&router, PATH, NOW));
    for _ in 0..2 {
        pending = calls(router.resume(pending, vec![Err(CallError::Timeout)], NOW)).1;
    }
    let Step::Reply(reply) = router.resume(pending, vec![Err(CallError::Timeout)], NOW) else {
        panic!("no reply");
    };
    assert_eq!(
        (reply.rejection, reply.rule.as_deref()),
        (Rejection::Unavailable, Some("by_namespace"))
    );
}

#[test]
fn a_permanent_failure_is_not_retried() {
    for status in [400, 401, 403, 302, 200] {
        let router = with_retries();
        let step = resumed(&router, PATH, vec![failure(status)], NOW);
        assert_eq!(rejected(step), Rejection::Unavailable, "{status}");
    }
    let (bodies, _) = called(resumed(&with_retries(), PATH, vec![not_found()], NOW));
    assert_eq!(bodies, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn only_failed_queries_are_retried() {
    let router = with_retries();
    let (_, pending) = calls(start(&router, TWO, NOW));
    let step = router.resume(pending, vec![found("cell-1"), failure(500)], NOW);
    let (retried, pending) = called(step);
    assert_eq!(retried, [r#"{"claims":[{"route":"b"}]}"#]);
    assert_eq!(decided(router.resume(pending, vec![found("cell-1")], NOW)).cluster, "cell-1");
}

#[test]
fn no_query_is_retried_if_another_failed_permanently() {
    let step = resumed(&with_retries(), TWO, vec![failure(403), failure(500)], NOW);
    assert_eq!(rejected(step), Rejection::Unavailable);
}

#[test]
fn a_retry_must_fit_the_time_budget() {
    let router = with_retries();
    let (_, pending) = calls(start(&router, PATH, NOW));
    let late = NOW.plus(700);
    let (second, pending) = calls(router.resume(pending, vec![failure(503)], late));
    assert_eq!(second[0].delay_ms + second[0].timeout_ms, 300);
    let step = router.resume(pending, vec![failure(503)], NOW.plus(960));
    assert_eq!(rejected(step), Rejection::Unavailable);
}

#[test]
fn a_request_past_its_deadline_makes_no_further_call() {
    let router = with_retries();
    let (_, pending) = calls(start(&router, PATH, NOW));
    let step = router.resume(pending, vec![not_found()], NOW.plus(1000));
    assert_eq!(rejected(step), Rejection::Unavailable);
}

#[test]
fn retry_after_is_honoured_within_the_time_budget() {
    for (status, seconds) in [(429, "9"), (503, "1")] {
        let step = resumed(&with_retries(), PATH, vec![retry_after(status, seconds)], NOW);
        assert_eq!(rejected(step), Rejection::Unavailable, "{status} {seconds}");
    }
    let slow = json!({"cluster": "t", "authority": "t", "budgetMs": 3000});
    let router = configured(&json!([first_cell()]), &slow);
    let (retried, _) = calls(resumed(&router, "/", vec![retry_after(429, "2")], NOW));
    assert_eq!(retried[0].delay_ms, 2000);
}

#[test]
fn a_last_good_classification_is_preferred_to_a_retry() {
    let router = with_retries();
    decided(resumed(&router, PATH, vec![found("cell-1")], NOW));
    let outage = NOW.plus_seconds(100_000);
    let step = resumed(&router, PATH, vec![failure(503)], outage);
    assert_eq!(decided(step).source, Source::Stale);
}

#[test]
fn retries_do_not_amplify_an_outage() {
    let router = with_retries();
    let mut retries = 0;
    for n in 0..1000 {
        let (_, pending) = calls(start(&router, &format!("/v2/group-{n}/x"), NOW));
        if let Step::Call(calls, _) = router.resume(pending, vec![failure(503)], NOW) {
            retries += calls.len();
        }
    }
    assert!((200..=220).contains(&retries), "{retries} retries of 1000 calls");
}

#[test]
fn an_expired_classification_is_served_while_one_refresh_revalidates_it() {
    let router = with_retries();
    decided(resumed(&router, PATH, vec![found("cell-1")], NOW));
    let expired = NOW.plus_seconds(61);
    for _ in 0..3 {
        assert_eq!(decided(start(&router, PATH, expired)).source, Source::Revalidating);
    }
    assert!(router.has_refreshes());
    let mut refreshes = router.take_refreshes();
    assert_eq!(refreshes.len(), 1);
    router.refreshed(refreshes.remove(0), &found("cell-2"), expired);
    let decision = decided(start(&router, PATH, expired));
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-2", Source::Cache));
    assert!(!router.has_refreshes());
}

#[test]
fn a_failed_refresh_pauses_and_not_found_removes_the_classification() {
    let router = with_retries();
    decided(resumed(&router, PATH, vec![found("cell-1")], NOW));
    let expired = NOW.plus_seconds(61);
    let _ = start(&router, PATH, expired);
    router.refreshed(router.take_refreshes().remove(0), &failure(503), expired);
    assert_eq!(decided(start(&router, PATH, expired)).source, Source::Stale);
    assert!(!router.has_refreshes());
    let later = expired.plus_seconds(5);
    assert_eq!(decided(start(&router, PATH, later)).source, Source::Revalidating);
    router.refreshed(router.take_refreshes().remove(0), &not_found(), later);
    assert_eq!(called(start(&router, PATH, later)).0, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn the_number_of_refreshes_at_a_time_is_bounded() {
    let router = with_retries();
    let path = |n| format!("/v2/group-{n}/x");
    for n in 0..200 {
        decided(resumed(&router, &path(n), vec![found("cell-1")], NOW));
    }
    let expired = NOW.plus_seconds(61);
    for n in 0..200 {
        assert_eq!(decided(start(&router, &path(n), expired)).source, Source::Revalidating);
    }
    assert_eq!(router.take_refreshes().len(), 64);
    let _ = start(&router, &path(199), expired);
    assert_eq!(router.take_refreshes().len(), 1);
}

#[test]
fn lookups_calls_and_retries_are_counted() {
    let router = with_retries();
    decided(resumed(&router, PATH, vec![found("cell-1")], NOW));
    decided(start(&router, PATH, NOW));
    let stats = router.take_stats();
    assert_eq!(
        stats.lookups().collect::<Vec<_>>(),
        [(CacheLookup::Fresh, 1), (CacheLookup::Miss, 1)]
    );
    assert_eq!(stats.calls().collect::<Vec<_>>(), [(CallOutcome::Found, 1)]);
    assert_eq!((stats.availability, router.cache_entries()), (None, 1));

    let _ = resumed(&router, "/v2/other/x", vec![Err(CallError::Dispatch)], NOW);
    let stats = router.take_stats();
    assert_eq!(stats.availability, Some(Availability::Unavailable));
    assert_eq!((stats.retries, router.take_stats()), (1, Stats::default()));
}
