//! Concurrent requests, and requests that end before their response.

use wasm_host::StreamState;

use super::client::{cluster, found, get, only_call, pull, refusal, routed, still_works};
use super::config::{host, shipped};

const NO_HEADERS: [(&str, &str); 0] = [];

#[test]
fn concurrent_requests_receive_their_own_responses_in_any_order() {
    let mut host = host();
    let streams = ["acme", "globex", "initech"]
        .map(|namespace| host.on_request_headers(pull(namespace)).unwrap());
    let calls = host.calls();
    for (call, cell) in calls.iter().zip(["cell-1", "cell-2", "cell-3"]).rev() {
        host.respond(call.id, 200, NO_HEADERS, found(cell)).unwrap();
    }
    for (stream, cell) in streams.into_iter().zip(["cell-1", "cell-2", "cell-3"]) {
        assert_eq!(cluster(&host, stream).as_deref(), Some(cell));
    }
}

#[test]
fn a_response_for_one_request_does_not_resume_the_others() {
    let mut host = host();
    let first = host.on_request_headers(pull("acme")).unwrap();
    let second = host.on_request_headers(pull("globex")).unwrap();
    host.respond(host.calls()[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.stream_state(first).unwrap(), StreamState::Continued);
    assert_eq!(host.stream_state(second).unwrap(), StreamState::Paused);
}

#[test]
fn a_late_response_to_an_ended_request_is_harmless() {
    let mut host = host();
    for late in 0..3 {
        let gone = host.on_request_headers(pull(&format!("late-{late}"))).unwrap();
        let call = only_call(&host).id;
        host.end_stream(gone).unwrap();
        match late {
            0 => host.respond(call, 200, NO_HEADERS, found("cell-1")),
            1 => host.time_out(call),
            _ => host.fail(call),
        }
        .unwrap();
        assert!(still_works(&mut host));
    }
}

#[test]
fn ended_requests_do_not_leak_memory() {
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
fn the_cache_is_bounded_for_any_number_of_namespaces() {
    // More than the caches of responses and of evaluated paths hold.
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
fn scopes_of_several_namespaces_are_classified_in_parallel_and_share_a_cell() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    let calls = host.calls();
    assert_eq!(calls.len(), 2);
    host.respond(calls[1].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::Paused);
    host.respond(calls[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn scopes_of_two_cells_are_refused_at_the_edge() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    for (call, cell) in host.calls().iter().zip(["cell-1", "cell-2"]) {
        host.respond(call.id, 200, NO_HEADERS, found(cell)).unwrap();
    }
    assert_eq!(refusal(&host, stream), (400, "UNSUPPORTED".to_owned()));
}

#[test]
fn a_failure_of_one_of_two_responses_does_not_select_a_cell() {
    let mut host = shipped("dependency_proxy");
    let stream = host
        .on_request_headers(login("&scope=repository:acme/a:pull&scope=repository:globex/b:pull"))
        .unwrap();
    let calls = host.calls();
    host.respond(calls[0].id, 200, NO_HEADERS, found("cell-1")).unwrap();
    host.fail(calls[1].id).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
}
