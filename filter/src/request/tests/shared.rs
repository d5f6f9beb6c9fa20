//! What the requests of a worker share: ticks, metrics and logs.

use super::*;

const ONE: &str = "/jwt/auth?scope=repository:a/x:pull";

/// An edge with retries after at most 50 ms and a timeout of a second.
fn with_retries(path: &str) -> Edge {
    let headers = [
        (":method", &b"GET"[..]),
        (":authority", b"gitlab.example"),
        (":path", path.as_bytes()),
        ("x-request-id", b"id-1"),
    ];
    Edge::configured(&headers, &json!({"cluster": "t", "authority": "t", "timeoutMs": 1000}))
}

impl Edge {
    /// Advances the time and runs the root context's tick.
    fn tick_after(&self, milliseconds: u64) {
        self.host.now.set(self.host.now.get() + milliseconds);
        self.scheduler.tick();
    }
}

#[test]
fn a_failed_call_is_retried_by_a_tick_in_the_requests_context() {
    let mut edge = with_retries(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "503", "");
    assert_eq!(edge.host.calls.borrow().len(), 1);
    assert!((10..=50).contains(&edge.host.tick_ms.get()), "{}", edge.host.tick_ms.get());
    edge.tick_after(50);
    assert_eq!(edge.host.calls.borrow().len(), 2);
    edge.found(1, "cell-1");
    assert_eq!((edge.host.resumed.get(), edge.host.entered.get()), (1, CONTEXT));
    assert_eq!(edge.sent("x-cell-cluster"), ["cell-1"]);
    edge.tick_after(10_000);
    assert_eq!(edge.host.tick_ms.get(), 0, "no request waits");
}

#[test]
fn a_call_without_a_response_is_given_up_after_a_grace_period() {
    let mut edge = Edge::get(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.tick_after(1_200);
    assert!(edge.statuses().is_empty(), "the grace period has not ended");
    edge.tick_after(100);
    assert_eq!(edge.statuses(), [503]);
    edge.found(0, "cell-1");
    assert_eq!((edge.statuses(), edge.host.resumed.get()), (vec![503], 0));
}

#[test]
fn a_request_that_has_ended_is_never_woken() {
    let mut edge = with_retries(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "503", "");
    assert!(edge.filter.on_done());
    edge.tick_after(10_000);
    assert_eq!((edge.host.calls.borrow().len(), edge.host.tick_ms.get()), (1, 0));

    let mut edge = with_retries(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "503", "");
    edge.host.gone.borrow_mut().push(CONTEXT);
    edge.tick_after(10_000);
    assert_eq!((edge.host.calls.borrow().len(), edge.host.resumed.get()), (1, 0));
}

#[test]
fn requests_over_the_limit_of_waiting_ones_are_rejected() {
    let mut edge = with_retries(ONE);
    let mut others = Vec::new();
    for context in 10..10 + 4096 {
        let mut other = RequestFilter::new(Rc::clone(&edge.scheduler), context);
        assert_eq!(other.on_http_request_headers(0, true), Action::Pause);
        others.push(other);
    }
    assert!(edge.statuses().is_empty());
    edge.request();
    assert_eq!(edge.statuses(), [503]);
    assert_eq!(edge.host.metric("cell_router.errors_total.kind.too_many_waiting"), 1);
    edge.host.call_response.replace([(":status".to_owned(), b"404".to_vec())].into());
    edge.host.call_response.borrow_mut().insert("body".to_owned(), b"{}".to_vec());
    let calls = edge.host.calls.borrow().len();
    others[0].on_http_call_response(0, 1, 2, 0);
    assert_eq!(edge.host.calls.borrow().len(), calls + 1);
    assert_eq!(edge.statuses(), [503], "a request that waits keeps its place");
    others[0].on_done();
    let mut next = RequestFilter::new(Rc::clone(&edge.scheduler), 9);
    next.on_http_request_headers(0, true);
    assert_eq!(edge.statuses(), [503], "another request may wait again");
}

#[test]
fn an_expired_classification_is_revalidated_by_a_tick_without_delaying_the_request() {
    let mut edge = with_retries(ONE);
    edge.request();
    edge.found(0, "cell-1");
    edge.host.now.set(61_000);
    let mut later = RequestFilter::new(Rc::clone(&edge.scheduler), 3);
    assert_eq!(later.on_http_request_headers(0, true), Action::Continue);
    assert!(later.on_done());
    edge.tick_after(10);
    assert_eq!(edge.host.calls.borrow().len(), 2);
    edge.scheduler.on_response(1, 0, 0);
    assert_eq!(edge.host.metric("cell_router.classify_total.outcome.transport"), 1);
    edge.tick_after(10);
    assert_eq!((edge.host.tick_ms.get(), edge.host.metric("cell_router.refreshes_total")), (0, 1));
}

#[test]
fn a_refresh_without_a_response_is_given_up() {
    let mut edge = with_retries(ONE);
    edge.request();
    edge.found(0, "cell-1");
    edge.host.now.set(61_000);
    RequestFilter::new(Rc::clone(&edge.scheduler), 3).on_http_request_headers(0, true);
    edge.tick_after(10);
    assert_eq!(edge.host.tick_ms.get(), 1_250);
    edge.tick_after(1_250);
    assert_eq!(edge.host.metric("cell_router.classify_total.outcome.timeout"), 1);
    assert_eq!(edge.host.tick_ms.get(), 0);
}

#[test]
fn requests_are_counted_by_rule_and_source_in_metrics_defined_at_first_use() {
    let mut edge = Edge::get("/c/9/jwt/auth");
    edge.request();
    let name = "cell_router.requests_total.decision.proxy.rule.fixed.source.ruleset";
    assert_eq!(edge.host.metric(name), 1);
    edge.host.set_request_header(":path", b"/c/9/jwt/auth").unwrap();
    let mut again = RequestFilter::new(Rc::clone(&edge.scheduler), 3);
    again.on_http_request_headers(0, true);
    assert_eq!(edge.host.metric(name), 2);
    assert_eq!(edge.host.metrics.borrow().len(), 1, "no other metric is defined");
}

#[test]
fn a_retired_worker_removes_its_part_from_the_gauges() {
    let mut edge = with_retries(ONE);
    edge.host.memory.set(131_072);
    edge.request();
    edge.found(0, "cell-1");
    assert_eq!(edge.host.metric("cell_router.memory_bytes"), 131_072);
    assert_eq!(edge.host.metric("cell_router.cache_entries"), 1);
    edge.scheduler.worker.metrics.retire(&edge.host);
    assert_eq!(edge.host.metric("cell_router.memory_bytes"), 0);
    assert_eq!(edge.host.metric("cell_router.cache_entries"), 0);
}

#[test]
fn a_rejected_request_is_logged_as_one_line_of_json_without_query_and_credentials() {
    let mut edge = with_retries("/v2/a%2fb/\"x?private_token=s3cr3t");
    edge.host.set_request_header(":authority", b"user:s3cr3t@gitlab.example").unwrap();
    edge.request();
    let logs = edge.host.logs.borrow();
    assert_eq!(logs.len(), 1);
    let line: Value = serde_json::from_str(&logs[0]).unwrap();
    let expected = json!({
        "event": "refused", "reason": "malformed_name", "status": 400, "request_id": "id-1",
        "method": "GET", "host": "gitlab.example", "path": "/v2/a%2fb/\"x",
    });
    assert_eq!(line, expected);
}

#[test]
fn a_path_or_host_with_a_credential_is_hidden() {
    let far = format!("/v2/{}/a%2fb/glpat-s3cr3t", "a".repeat(300));
    for (authority, path, hidden) in [
        ("gitlab.example", "/v2/GLPAT-s3cr3t/a%2fb", ["gitlab.example", "(hidden)"]),
        ("gitlab.example", &far, ["gitlab.example", "(hidden)"]),
        ("glrt-s3cr3t.example", "/v2/a%2fb/c", ["(hidden)", "/v2/a%2fb/c"]),
    ] {
        let mut edge = with_retries(path);
        edge.host.set_request_header(":authority", authority.as_bytes()).unwrap();
        edge.request();
        let line: Value = serde_json::from_str(&edge.host.logs.borrow()[0]).unwrap();
        assert_eq!([&line["host"], &line["path"]], hidden, "{line}");
    }
}

#[test]
fn a_log_line_names_the_rule_and_is_bounded() {
    let path = format!("/jwt/auth{}?scope=repository:a:pull", "/\u{e9}\n".repeat(1000));
    let mut edge = Edge::new(&[(":authority", b"\xff\n\""), (":path", path.as_bytes())]);
    edge.request();
    let mut edge_with_rule = Edge::get(TWO);
    edge_with_rule.request();
    edge_with_rule.found(0, "cell-1");
    edge_with_rule.found(1, "cell-2");
    for (edge, rule) in [(edge, None), (edge_with_rule, Some("scopes"))] {
        let logs = edge.host.logs.borrow();
        assert!(logs[0].len() < 2_000 && !logs[0].contains('\n'), "{}", logs[0]);
        let line: Value = serde_json::from_str(&logs[0]).unwrap();
        assert_eq!(line["rule"].as_str(), rule, "{line}");
    }
}

#[test]
fn an_outage_and_its_end_are_logged_once() {
    let mut edge = with_retries(ONE);
    edge.host.now.set(5_000);
    edge.request();
    edge.respond(0, "503", "");
    edge.tick_after(50);
    edge.respond(1, "503", "");
    edge.tick_after(2_000);
    edge.found(2, "cell-1");
    let logs = edge.host.logs.borrow();
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert_eq!(logs[0], r#"{"event":"topology_service","state":"unavailable"}"#);
    assert_eq!(logs[1], r#"{"event":"topology_service","state":"available"}"#);
}
