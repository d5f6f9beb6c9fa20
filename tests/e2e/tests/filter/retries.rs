//! Retries, background refreshes and timeouts of calls.

use wasm_host::{FilterHost, StreamId, StreamState};

use super::client::{
    classify_request, cluster, found, only_call, pull, refusal, respond_found, routed, still_works,
};
use super::config::{host, with_retries};

const NO_HEADERS: [(&str, &str); 0] = [];

/// The longest first wait before a retry.
const FIRST_WAIT: u64 = 60;

fn waits(host: &FilterHost, stream: StreamId) -> bool {
    host.stream_state(stream).unwrap() == StreamState::Paused
}

fn fails(host: &mut FilterHost) {
    host.respond(only_call(host).id, 503, NO_HEADERS, "").unwrap();
}

#[test]
fn a_request_survives_a_short_outage_of_the_service() {
    let mut host = with_retries();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let requested = classify_request(&only_call(&host));
    fails(&mut host);
    assert!(waits(&host, stream) && host.calls().is_empty());
    host.run_for(FIRST_WAIT).unwrap();
    assert_eq!(classify_request(&only_call(&host)), requested);
    respond_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    assert_eq!(host.route_cache_clears(stream), 1);
}

#[test]
fn a_call_that_cannot_be_sent_is_retried() {
    let mut host = with_retries();
    host.remove_cluster("topology");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert!(waits(&host, stream));
    host.run_for(1_000).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
}

#[test]
fn a_service_that_stays_down_is_a_503_within_the_budget_and_three_calls() {
    let mut host = with_retries();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    for _ in 0..3 {
        fails(&mut host);
        host.run_for(250).unwrap();
    }
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(host.calls_made(), 3);
    assert!(still_works(&mut host));
}

#[test]
fn requests_that_wait_for_a_retry_receive_their_own_responses() {
    let mut host = with_retries();
    let streams = ["acme", "globex", "initech"]
        .map(|namespace| host.on_request_headers(pull(namespace)).unwrap());
    for call in host.calls() {
        host.fail(call.id).unwrap();
    }
    host.run_for(FIRST_WAIT).unwrap();
    for call in host.calls() {
        let route = classify_request(&call)["claims"][0]["route"].as_str().unwrap().to_owned();
        host.respond(call.id, 200, NO_HEADERS, found(&format!("cell-of-{route}"))).unwrap();
    }
    for (stream, cell) in streams.into_iter().zip(["acme", "globex", "initech"]) {
        assert_eq!(cluster(&host, stream), Some(format!("cell-of-{cell}")));
    }
}

#[test]
fn a_call_of_an_ended_request_is_not_retried() {
    let mut host = with_retries();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    fails(&mut host);
    host.end_stream(stream).unwrap();
    host.run_for(1_000).unwrap();
    assert_eq!((host.calls_made(), host.tick_period_ms()), (1, 0));

    let stream = host.on_request_headers(pull("acme")).unwrap();
    fails(&mut host);
    host.run_for(FIRST_WAIT).unwrap();
    let retried = only_call(&host).id;
    host.end_stream(stream).unwrap();
    host.respond(retried, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert!(still_works(&mut host));
}

#[test]
fn a_missing_response_times_out_and_a_late_one_is_ignored() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.run_for(400).unwrap();
    assert!(waits(&host, stream), "timeout and grace period have not passed");
    host.run_for(200).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
    host.respond(call, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::LocalReply);
    assert_eq!(host.tick_period_ms(), 0, "no timer runs without a waiting request");
}

#[test]
fn no_timer_runs_for_requests_that_do_not_wait() {
    let mut host = with_retries();
    routed(&mut host, pull("acme"), "cell-1");
    host.run_for(10_000).unwrap();
    assert_eq!(host.tick_period_ms(), 0);
    routed(&mut host, pull("acme"), "cell-1");
    assert_eq!(host.tick_period_ms(), 0);
}

#[test]
fn a_waiting_request_is_decided_by_the_configuration_it_started_with() {
    let mut host = with_retries();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    fails(&mut host);
    host.reconfigure(super::config::two_rules().to_string()).unwrap();
    host.run_for(FIRST_WAIT).unwrap();
    respond_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn an_expired_response_is_used_and_refreshed_once_by_the_root() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    host.pass_time(61_000);
    for _ in 0..3 {
        let stream = host.on_request_headers(pull("acme")).unwrap();
        assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
        host.end_stream(stream).unwrap();
    }
    host.run_for(20).unwrap();
    assert_eq!(only_call(&host).stream, None, "a call of a request would end with it");
    respond_found(&mut host, "cell-2");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-2"));
    host.run_for(10_000).unwrap();
    assert_eq!((host.calls_made(), host.tick_period_ms()), (2, 0));
}

#[test]
fn a_failed_refresh_keeps_the_response_and_is_not_retried_for_five_seconds() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    host.pass_time(61_000);
    let mut pulls = || {
        let stream = host.on_request_headers(pull("acme")).unwrap();
        assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
        host.run_for(20).unwrap();
        host.calls().into_iter().for_each(|call| host.fail(call.id).unwrap());
        let made = host.calls_made();
        host.run_for(2_000).unwrap();
        made
    };
    assert_eq!([pulls(), pulls(), pulls(), pulls()], [2, 2, 2, 3]);
}

#[test]
fn requests_that_wait_and_end_do_not_leak_memory() {
    let mut host = with_retries();
    let mut round = || {
        for n in 0..500 {
            let stream = host.on_request_headers(pull("acme")).unwrap();
            if n % 2 == 0 {
                fails(&mut host);
            }
            host.run_for(100).unwrap();
            host.end_stream(stream).unwrap();
            host.calls().into_iter().for_each(|call| host.fail(call.id).unwrap());
        }
        host.memory_bytes()
    };
    let before = round();
    assert_eq!(round(), before);
}
