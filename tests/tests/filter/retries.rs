//! Time passes: what failed is asked again, what expired is asked for beside requests, and what
//! never comes is given up.

use e2e::host::{FilterHost, Outcome, StreamId};

use super::client::{
    answer_found, cluster, found, only_call, pull, question, refusal, routed, still_works,
};
use super::config::{host, patient};

const NO_HEADERS: [(&str, &str); 0] = [];

/// The longest first wait before a retry.
const FIRST_WAIT: u64 = 60;

fn waits(host: &FilterHost, stream: StreamId) -> bool {
    host.outcome(stream).unwrap() == Outcome::Pause
}

fn fails(host: &mut FilterHost) {
    host.answer(only_call(host).id, 503, NO_HEADERS, "").unwrap();
}

#[test]
fn a_request_survives_a_service_that_is_down_for_a_moment() {
    let mut host = patient();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let asked = question(&only_call(&host));
    fails(&mut host);
    assert!(waits(&host, stream) && host.calls().is_empty());
    host.run_for(FIRST_WAIT).unwrap();
    assert_eq!(question(&only_call(&host)), asked);
    answer_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    assert_eq!(host.route_cache_clears(stream), 1);
}

#[test]
fn a_call_that_cannot_be_sent_is_sent_later() {
    let mut host = patient();
    host.remove_cluster("topology");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert!(waits(&host, stream));
    host.run_for(1_000).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
}

#[test]
fn a_service_that_stays_down_is_a_503_within_the_budget_and_three_calls() {
    let mut host = patient();
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
fn requests_that_wait_to_ask_again_get_their_own_answers() {
    let mut host = patient();
    let streams = ["acme", "globex", "initech"]
        .map(|namespace| host.on_request_headers(pull(namespace)).unwrap());
    for call in host.calls() {
        host.fail(call.id).unwrap();
    }
    host.run_for(FIRST_WAIT).unwrap();
    for call in host.calls() {
        let route = question(&call)["claims"][0]["route"].as_str().unwrap().to_owned();
        host.answer(call.id, 200, NO_HEADERS, found(&format!("cell-of-{route}"))).unwrap();
    }
    for (stream, cell) in streams.into_iter().zip(["acme", "globex", "initech"]) {
        assert_eq!(cluster(&host, stream), Some(format!("cell-of-{cell}")));
    }
}

#[test]
fn a_request_that_is_gone_is_not_asked_for_again() {
    let mut host = patient();
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
    host.answer(retried, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert!(still_works(&mut host));
}

#[test]
fn an_answer_that_never_comes_is_given_up_and_a_late_one_changes_nothing() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.run_for(400).unwrap();
    assert!(waits(&host, stream), "timeout and grace are not over");
    host.run_for(200).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
    host.answer(call, 200, NO_HEADERS, found("cell-1")).unwrap();
    assert_eq!(host.outcome(stream).unwrap(), Outcome::LocalReply);
    assert_eq!(host.tick_period_ms(), 0, "no timer without somebody who waits");
}

#[test]
fn no_timer_runs_for_requests_that_do_not_wait() {
    let mut host = patient();
    routed(&mut host, pull("acme"), "cell-1");
    host.run_for(10_000).unwrap();
    assert_eq!(host.tick_period_ms(), 0);
    routed(&mut host, pull("acme"), "cell-1");
    assert_eq!(host.tick_period_ms(), 0);
}

#[test]
fn a_waiting_request_is_served_by_the_configuration_it_came_under() {
    let mut host = patient();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    fails(&mut host);
    host.reconfigure(super::config::two_rules().to_string()).unwrap();
    host.run_for(FIRST_WAIT).unwrap();
    answer_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn an_expired_answer_serves_and_is_asked_for_once_by_the_root() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    host.pass_time(61_000);
    for _ in 0..3 {
        let stream = host.on_request_headers(pull("acme")).unwrap();
        assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
        host.end_stream(stream).unwrap();
    }
    host.run_for(20).unwrap();
    assert_eq!(only_call(&host).stream, None, "a request's own calls would die with it");
    answer_found(&mut host, "cell-2");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-2"));
    host.run_for(10_000).unwrap();
    assert_eq!((host.calls_made(), host.tick_period_ms()), (2, 0));
}

#[test]
fn a_refresh_that_fails_leaves_the_answer_and_is_not_repeated_for_five_seconds() {
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
fn requests_that_wait_and_go_leave_no_trace_in_the_memory() {
    let mut host = patient();
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
