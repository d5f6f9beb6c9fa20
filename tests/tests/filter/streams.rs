//! Several requests at once, and requests that are gone before their answer.

use e2e::host::Outcome;

use super::client::{cluster, found, get, only_call, pull, refusal, routed, still_works};
use super::config::{host, shipped};

const NO_HEADERS: [(&str, &str); 0] = [];

#[test]
fn requests_that_wait_at_once_get_their_own_answers_in_any_order() {
    let mut host = host();
    let streams = ["acme", "globex", "initech"]
        .map(|namespace| host.on_request_headers(pull(namespace)).unwrap());
    let calls = host.calls();
    for (call, cell) in calls.iter().zip(["cell-1", "cell-2", "cell-3"]).rev() {
        host.answer(call.id, 200, NO_HEADERS, found(cell)).unwrap();
    }
    for (stream, cell) in streams.into_iter().zip(["cell-1", "cell-2", "cell-3"]) {
        assert_eq!(cluster(&host, stream).as_deref(), Some(cell));
    }
}

#[test]
fn an_answer_for_one_request_leaves_the_others_waiting() {
    let mut host = host();
    let first = host.on_request_headers(pull("acme")).unwrap();
    let second = host.on_request_headers(pull("globex")).unwrap();
    host.answer(host.calls()[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.outcome(first).unwrap(), Outcome::Continue);
    assert_eq!(host.outcome(second).unwrap(), Outcome::Pause);
}

#[test]
fn a_late_answer_to_a_request_that_is_gone_harms_nobody() {
    let mut host = host();
    for late in 0..3 {
        let gone = host.on_request_headers(pull(&format!("late-{late}"))).unwrap();
        let call = only_call(&host).id;
        host.end_stream(gone).unwrap();
        match late {
            0 => host.answer(call, 200, NO_HEADERS, found("cell-1")),
            1 => host.time_out(call),
            _ => host.fail(call),
        }
        .unwrap();
        assert!(still_works(&mut host));
    }
}

#[test]
fn a_request_that_is_gone_leaves_no_trace_in_the_memory() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    let mut round = || {
        for _ in 0..2_000 {
            let stream = host.on_request_headers(pull("acme")).unwrap();
            host.on_response_headers(stream, [(":status", "200")]).unwrap();
            host.end_stream(stream).unwrap();
        }
        host.memory_bytes()
    };
    let before = round();
    assert_eq!(round(), before);
}

#[test]
fn the_cache_is_bounded_however_many_namespaces_are_asked_for() {
    // More than are kept of anything: answers, and what the rules make of a path.
    const ROUND: u32 = 10_000;
    let mut host = host();
    let mut round = |from: u32| {
        for namespace in from..from + ROUND {
            let stream = routed(&mut host, pull(&format!("namespace-{namespace}")), "cell-1");
            host.end_stream(stream).unwrap();
        }
        host.memory_bytes()
    };
    round(0);
    let before = round(ROUND);
    assert_eq!(round(2 * ROUND), before);
}

fn login(scopes: &str) -> super::client::Headers {
    get(&format!("/jwt/auth?service=dependency_proxy{scopes}"))
}

#[test]
fn scopes_of_several_namespaces_are_asked_at_once_and_one_cell_serves_them() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    let calls = host.calls();
    assert_eq!(calls.len(), 2);
    host.answer(calls[1].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.outcome(stream).unwrap(), Outcome::Pause);
    host.answer(calls[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn scopes_of_two_cells_are_refused_at_the_edge() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    for (call, cell) in host.calls().iter().zip(["cell-1", "cell-2"]) {
        host.answer(call.id, 200, NO_HEADERS, found(cell)).unwrap();
    }
    assert_eq!(refusal(&host, stream), (400, "UNSUPPORTED".to_owned()));
}

#[test]
fn one_of_two_answers_failing_is_never_read_as_one_cell() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    let calls = host.calls();
    host.answer(calls[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    host.fail(calls[1].id).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
}
