//! What a request shares with the others of its worker: time, metrics, logs.

use super::*;

const ONE: &str = "/jwt/auth?scope=repository:a/x:pull";

/// Asks again after 50 ms at most; a call takes a second at most.
fn patient(path: &str) -> Edge {
    let headers = [
        (":method", &b"GET"[..]),
        (":authority", b"gitlab.example"),
        (":path", path.as_bytes()),
        ("x-request-id", b"id-1"),
    ];
    Edge::configured(&headers, &json!({"cluster": "t", "authority": "t", "timeoutMs": 1000}))
}

impl Edge {
    /// The root context's tick, so much later.
    fn tick_after(&self, milliseconds: u64) {
        self.host.now.set(self.host.now.get() + milliseconds);
        self.worker.tick();
    }
}

#[test]
fn a_failed_call_is_sent_again_by_tick_into_the_requests_own_context() {
    let mut edge = patient(ONE);
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
    assert_eq!(edge.host.tick_ms.get(), 0, "nothing waits");
}

#[test]
fn an_answer_that_never_comes_is_given_up_a_moment_after_its_timeout() {
    let mut edge = Edge::get(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.tick_after(1_200);
    assert!(edge.statuses().is_empty(), "the host still has its grace");
    edge.tick_after(100);
    assert_eq!(edge.statuses(), [503]);
    edge.found(0, "cell-1");
    assert_eq!((edge.statuses(), edge.host.resumed.get()), (vec![503], 0));
}

#[test]
fn a_request_that_is_gone_is_never_touched() {
    let mut edge = patient(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "503", "");
    assert!(edge.filter.on_done());
    edge.tick_after(10_000);
    assert_eq!((edge.host.calls.borrow().len(), edge.host.tick_ms.get()), (1, 0));

    let mut edge = patient(ONE);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "503", "");
    edge.host.gone.borrow_mut().push(CONTEXT);
    edge.tick_after(10_000);
    assert_eq!((edge.host.calls.borrow().len(), edge.host.resumed.get()), (1, 0));
}

#[test]
fn more_requests_than_may_wait_are_refused() {
    let mut edge = patient(ONE);
    let mut others = Vec::new();
    for context in 10..10 + 4096 {
        let mut other = RequestFilter::new(Rc::clone(&edge.worker), context);
        assert_eq!(other.on_http_request_headers(0, true), Action::Pause);
        others.push(other);
    }
    assert!(edge.statuses().is_empty());
    edge.request();
    assert_eq!(edge.statuses(), [503]);
    assert_eq!(edge.host.metric("cell_router.errors.kind.too_many_waiting"), 1);
    assert!(edge.worker.has_room_for(10), "who waits keeps the place");
    others[0].on_done();
    let mut next = RequestFilter::new(Rc::clone(&edge.worker), 9);
    next.on_http_request_headers(0, true);
    assert_eq!(edge.statuses(), [503], "there is room again");
}

#[test]
fn an_expired_answer_is_asked_for_by_tick_and_its_request_does_not_wait() {
    let mut edge = patient(ONE);
    edge.request();
    edge.found(0, "cell-1");
    edge.host.now.set(61_000);
    let mut later = RequestFilter::new(Rc::clone(&edge.worker), 3);
    assert_eq!(later.on_http_request_headers(0, true), Action::Continue);
    assert!(later.on_done());
    edge.tick_after(10);
    assert_eq!(edge.host.calls.borrow().len(), 2);
    edge.worker.answered(1, 0, 0);
    assert_eq!(edge.host.metric("cell_router.classify.outcome.transport"), 1);
    edge.tick_after(10);
    assert_eq!((edge.host.tick_ms.get(), edge.host.metric("cell_router.refreshes")), (0, 1));
}

#[test]
fn a_refresh_without_an_answer_is_given_up() {
    let mut edge = patient(ONE);
    edge.request();
    edge.found(0, "cell-1");
    edge.host.now.set(61_000);
    RequestFilter::new(Rc::clone(&edge.worker), 3).on_http_request_headers(0, true);
    edge.tick_after(10);
    assert_eq!(edge.host.tick_ms.get(), 1_250);
    edge.tick_after(1_250);
    assert_eq!(edge.host.metric("cell_router.classify.outcome.timeout"), 1);
    assert_eq!(edge.host.tick_ms.get(), 0);
}

#[test]
fn requests_are_counted_by_rule_and_source_and_defined_when_first_seen() {
    let mut edge = Edge::get("/c/9/jwt/auth");
    edge.request();
    let name = "cell_router.requests.decision.proxy.rule.fixed.source.ruleset";
    assert_eq!(edge.host.metric(name), 1);
    edge.host.set_request_header(":path", b"/c/9/jwt/auth").unwrap();
    let mut again = RequestFilter::new(Rc::clone(&edge.worker), 3);
    again.on_http_request_headers(0, true);
    assert_eq!(edge.host.metric(name), 2);
    assert_eq!(edge.host.metrics.borrow().len(), 1, "nothing else happened");
}

#[test]
fn gauges_are_shares_that_a_worker_takes_back() {
    let mut edge = patient(ONE);
    edge.host.memory.set(131_072);
    edge.request();
    edge.found(0, "cell-1");
    assert_eq!(edge.host.metric("cell_router.memory_bytes"), 131_072);
    assert_eq!(edge.host.metric("cell_router.cache_entries"), 1);
    edge.worker.metrics.retire(&edge.host);
    assert_eq!(edge.host.metric("cell_router.memory_bytes"), 0);
    assert_eq!(edge.host.metric("cell_router.cache_entries"), 0);
}

#[test]
fn a_refused_request_is_one_line_of_json_that_holds_no_query_and_no_credential() {
    let mut edge = patient("/v2/a%2fb/\"x?private_token=s3cr3t");
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
fn a_path_or_host_that_holds_a_credential_is_not_told() {
    let far = format!("/v2/{}/a%2fb/glpat-s3cr3t", "a".repeat(300));
    for (authority, path, hidden) in [
        ("gitlab.example", "/v2/GLPAT-s3cr3t/a%2fb", ["gitlab.example", "(hidden)"]),
        ("gitlab.example", &far, ["gitlab.example", "(hidden)"]),
        ("glrt-s3cr3t.example", "/v2/a%2fb/c", ["(hidden)", "/v2/a%2fb/c"]),
    ] {
        let mut edge = patient(path);
        edge.host.set_request_header(":authority", authority.as_bytes()).unwrap();
        edge.request();
        let line: Value = serde_json::from_str(&edge.host.logs.borrow()[0]).unwrap();
        assert_eq!([&line["host"], &line["path"]], hidden, "{line}");
    }
}

#[test]
fn a_line_names_the_rule_and_is_bounded_whatever_a_client_sent() {
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
fn an_outage_is_logged_once() {
    let mut edge = patient(ONE);
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
