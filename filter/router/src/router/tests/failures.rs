//! What fails is asked again, within bounds; what expired is asked for beside requests.

use super::*;
use crate::classify::CallOutcome;
use crate::tally::{Availability, Lookup};

const PATH: &str = "/v2/acme/x";
const TWO: &str = "/jwt/auth/?scope=repository:a/x:pull&scope=repository:b/x:pull";

/// Two retries, half a second for each call, a second in all.
fn patient() -> Router {
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
        Step::Ask(calls, pending) => (calls, pending),
        other => panic!("expected calls, got {other:?}"),
    }
}

fn retry_after(status: u16, seconds: &str) -> CallResult {
    let retry_after = Some(seconds.as_bytes().to_vec());
    Ok(HttpAnswer { status, retry_after, ..HttpAnswer::default() })
}

fn failure(status: u16) -> CallResult {
    answer(status, &json!({}))
}

#[test]
fn what_fails_for_a_moment_is_asked_again_after_a_growing_wait() {
    let router = patient();
    let (first, pending) = calls(start(&router, PATH, NOW));
    assert_eq!((first[0].delay_ms, first[0].timeout_ms), (0, 500));
    let (second, pending) = calls(router.resume(pending, vec![failure(503)], NOW));
    assert!((25..=50).contains(&second[0].delay_ms), "{second:?}");
    let (third, pending) = calls(router.resume(pending, vec![Err(CallError::Transport)], NOW));
    assert!((50..=100).contains(&third[0].delay_ms), "{third:?}");
    assert_eq!((&first[0].body, &second[0].body), (&second[0].body, &third[0].body));
    assert_eq!(decided(router.resume(pending, vec![found("cell-1")], NOW)).cluster, "cell-1");
    assert_eq!(router.take_tally().retries, 2);
}

#[test]
fn after_the_last_retry_it_is_a_503_that_names_its_rule() {
    let router = patient();
    let (_, mut pending) = calls(start(&router, PATH, NOW));
    for _ in 0..2 {
        pending = calls(router.resume(pending, vec![Err(CallError::Timeout)], NOW)).1;
    }
    let Step::Reply(reply) = router.resume(pending, vec![Err(CallError::Timeout)], NOW) else {
        panic!("no reply");
    };
    assert_eq!(
        (reply.refusal, reply.rule.as_deref()),
        (Refusal::Unavailable, Some("by_namespace"))
    );
}

#[test]
fn what_will_not_pass_is_not_asked_again() {
    for status in [400, 401, 403, 302, 200] {
        let router = patient();
        let step = answered(&router, PATH, vec![failure(status)], NOW);
        assert_eq!(refused(step), Refusal::Unavailable, "{status}");
    }
    let (bodies, _) = asked(answered(&patient(), PATH, vec![not_found()], NOW));
    assert_eq!(bodies, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn only_the_questions_that_failed_are_asked_again() {
    let router = patient();
    let (_, pending) = calls(start(&router, TWO, NOW));
    let step = router.resume(pending, vec![found("cell-1"), failure(500)], NOW);
    let (again, pending) = asked(step);
    assert_eq!(again, [r#"{"claims":[{"route":"b"}]}"#]);
    assert_eq!(decided(router.resume(pending, vec![found("cell-1")], NOW)).cluster, "cell-1");
}

#[test]
fn nothing_is_asked_again_when_the_answer_is_settled_anyway() {
    let step = answered(&patient(), TWO, vec![failure(403), failure(500)], NOW);
    assert_eq!(refused(step), Refusal::Unavailable);
}

#[test]
fn a_retry_that_cannot_end_within_the_budget_is_not_made() {
    let router = patient();
    let (_, pending) = calls(start(&router, PATH, NOW));
    let late = NOW.plus(700);
    let (second, pending) = calls(router.resume(pending, vec![failure(503)], late));
    assert_eq!(second[0].delay_ms + second[0].timeout_ms, 300);
    let step = router.resume(pending, vec![failure(503)], NOW.plus(960));
    assert_eq!(refused(step), Refusal::Unavailable);
}

#[test]
fn a_request_that_waited_its_time_asks_no_further_question() {
    let router = patient();
    let (_, pending) = calls(start(&router, PATH, NOW));
    let step = router.resume(pending, vec![not_found()], NOW.plus(1000));
    assert_eq!(refused(step), Refusal::Unavailable);
}

#[test]
fn the_services_own_wait_is_kept_and_never_beyond_the_budget() {
    for (status, seconds) in [(429, "9"), (503, "1")] {
        let step = answered(&patient(), PATH, vec![retry_after(status, seconds)], NOW);
        assert_eq!(refused(step), Refusal::Unavailable, "{status} {seconds}");
    }
    let slow = json!({"cluster": "t", "authority": "t", "budgetMs": 3000});
    let router = configured(&json!([first_cell()]), &slow);
    let (again, _) = calls(answered(&router, "/", vec![retry_after(429, "2")], NOW));
    assert_eq!(again[0].delay_ms, 2000);
}

#[test]
fn a_last_good_answer_serves_at_once_instead_of_a_retry() {
    let router = patient();
    decided(answered(&router, PATH, vec![found("cell-1")], NOW));
    let outage = NOW.plus_seconds(100_000);
    let step = answered(&router, PATH, vec![failure(503)], outage);
    assert_eq!(decided(step).source, Source::Stale);
}

#[test]
fn an_outage_is_not_multiplied() {
    let router = patient();
    let mut retries = 0;
    for n in 0..1000 {
        let (_, pending) = calls(start(&router, &format!("/v2/group-{n}/x"), NOW));
        if let Step::Ask(calls, _) = router.resume(pending, vec![failure(503)], NOW) {
            retries += calls.len();
        }
    }
    assert!((200..=220).contains(&retries), "{retries} retries of 1000 calls");
}

#[test]
fn an_expired_answer_serves_while_it_is_asked_for_once_beside_the_request() {
    let router = patient();
    decided(answered(&router, PATH, vec![found("cell-1")], NOW));
    let expired = NOW.plus_seconds(61);
    for _ in 0..3 {
        assert_eq!(decided(start(&router, PATH, expired)).source, Source::Revalidating);
    }
    assert!(router.wants_refreshes());
    let mut refreshes = router.take_refreshes();
    assert_eq!(refreshes.len(), 1);
    router.refreshed(refreshes.remove(0), &found("cell-2"), expired);
    let decision = decided(start(&router, PATH, expired));
    assert_eq!((decision.cluster.as_str(), decision.source), ("cell-2", Source::Cache));
    assert!(!router.wants_refreshes());
}

#[test]
fn a_failed_refresh_pauses_and_a_not_found_one_unmakes_the_answer() {
    let router = patient();
    decided(answered(&router, PATH, vec![found("cell-1")], NOW));
    let expired = NOW.plus_seconds(61);
    let _ = start(&router, PATH, expired);
    router.refreshed(router.take_refreshes().remove(0), &failure(503), expired);
    assert_eq!(decided(start(&router, PATH, expired)).source, Source::Stale);
    assert!(!router.wants_refreshes());
    let later = expired.plus_seconds(5);
    assert_eq!(decided(start(&router, PATH, later)).source, Source::Revalidating);
    router.refreshed(router.take_refreshes().remove(0), &not_found(), later);
    assert_eq!(asked(start(&router, PATH, later)).0, [r#"{"type":"FIRST_CELL"}"#]);
}

#[test]
fn few_of_many_expired_answers_are_asked_for_at_a_time() {
    let router = patient();
    let path = |n| format!("/v2/group-{n}/x");
    for n in 0..200 {
        decided(answered(&router, &path(n), vec![found("cell-1")], NOW));
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
fn what_happens_is_counted() {
    let router = patient();
    decided(answered(&router, PATH, vec![found("cell-1")], NOW));
    decided(start(&router, PATH, NOW));
    let tally = router.take_tally();
    assert_eq!(tally.lookups().collect::<Vec<_>>(), [(Lookup::Fresh, 1), (Lookup::Miss, 1)]);
    assert_eq!(tally.calls().collect::<Vec<_>>(), [(CallOutcome::Found, 1)]);
    assert_eq!((tally.availability, router.cache_entries()), (None, 1));

    let _ = answered(&router, "/v2/other/x", vec![Err(CallError::Dispatch)], NOW);
    let tally = router.take_tally();
    assert_eq!(tally.availability, Some(Availability::Unavailable));
    assert_eq!((tally.retries, router.take_tally()), (1, Tally::default()));
}
