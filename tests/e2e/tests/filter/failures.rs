//! Failures of the Topology Service, and invalid configurations.

use serde_json::{Value, json};
use wasm_host::{FilterHost, StartError, StreamState};

use super::client::{
    NOT_FOUND, classify_request, cluster, found, only_call, pull, refusal, respond_found,
    respond_not_found, routed, still_works,
};
use super::config::{host, two_rules};

const NO_HEADERS: [(&str, &str); 0] = [];

type Failure = fn(&mut FilterHost);

/// Every way in which a call can end without a statement about a Cell.
const FAILURES: [(&str, Failure); 8] = [
    ("reset", |host| host.fail(only_call(host).id).unwrap()),
    ("timeout", |host| host.time_out(only_call(host).id).unwrap()),
    ("500", |host| response(host, 500, "{}")),
    ("503 without a body", |host| response(host, 503, "")),
    ("429", |host| response(host, 429, "{}")),
    ("200 that is not JSON", |host| response(host, 200, "<html>")),
    ("200 without an address", |host| response(host, 200, r#"{"action":"PROXY"}"#)),
    ("200 with an empty address", |host| response(host, 200, &found(""))),
];

fn response(host: &mut FilterHost, status: u16, body: &str) {
    host.respond(only_call(host).id, status, NO_HEADERS, body).unwrap();
}

#[test]
fn a_failure_is_a_503_in_json_with_retry_after_and_never_selects_a_cell() {
    for (name, fail) in FAILURES {
        let mut host = host();
        let stream = host.on_request_headers(pull("acme")).unwrap();
        fail(&mut host);
        assert_eq!(host.stream_state(stream).unwrap(), StreamState::LocalReply, "{name}");
        assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()), "{name}");
        let retry = host.local_reply(stream).unwrap().headers.text("retry-after");
        assert!(retry.is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{name}");
        host.end_stream(stream).unwrap();
        assert!(still_works(&mut host), "{name}");
    }
}

#[test]
fn a_404_that_is_not_the_services_own_is_a_failure() {
    for body in ["", "<html>not found</html>", r#"{"code":12,"message":"no such route"}"#] {
        let mut host = host();
        let stream = host.on_request_headers(pull("acme")).unwrap();
        response(&mut host, 404, body);
        assert_eq!(host.stream_state(stream).unwrap(), StreamState::LocalReply, "{body}");
        assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()), "{body}");
    }
}

#[test]
fn an_address_that_is_not_a_cluster_name_is_a_failure() {
    for address in ["cell 1", "cell-1\r\nx-evil: 1", "cell-1\u{0}", "é"] {
        let mut host = host();
        let stream = host.on_request_headers(pull("acme")).unwrap();
        respond_found(&mut host, address);
        assert_eq!(refusal(&host, stream).0, 503, "{address:?}");
    }
}

#[test]
fn an_unknown_topology_cluster_is_a_failure_like_any_other() {
    let mut host = host();
    host.remove_cluster("topology");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(refusal(&host, stream), (503, "UNAVAILABLE".to_owned()));
}

#[test]
fn not_found_continues_with_the_next_rule() {
    let mut host = host();
    let stream = host.on_request_headers(pull("unclaimed")).unwrap();
    respond_not_found(&mut host);
    assert_eq!(classify_request(&only_call(&host)), json!({"type": "FIRST_CELL"}));
    respond_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn a_request_for_which_no_rule_finds_a_cell_is_a_503() {
    let mut host = host();
    let stream = host.on_request_headers(pull("unclaimed")).unwrap();
    respond_not_found(&mut host);
    host.respond(only_call(&host).id, 404, NO_HEADERS, NOT_FOUND).unwrap();
    assert_eq!(refusal(&host, stream).0, 503);
}

#[test]
fn the_last_response_is_used_during_an_outage_whatever_its_age() {
    for (name, fail) in FAILURES {
        let mut host = host();
        routed(&mut host, pull("acme"), "cell-1");
        host.pass_time(30 * 24 * 3_600_000);
        let stream = host.on_request_headers(pull("acme")).unwrap();
        if host.stream_state(stream).unwrap() == StreamState::Paused {
            fail(&mut host);
        }
        assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"), "{name}");
    }
}

fn refused(configuration: &Value) -> String {
    match harness::filter::start(configuration.to_string()) {
        Err(error @ StartError::Refused(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalid_configuration_is_refused_with_a_log_of_the_rule_and_field() {
    let broken: [(&str, Value, &str); 4] = [
        ("/ruleset/rules/0/match/regexValue", json!("("), "namespace"),
        ("/ruleset/rules/0/classify/claims/0/route", json!("${unknown}"), "namespace"),
        ("/ruleset/rules/1/id", json!("namespace"), "namespace"),
        ("/ruleset/rules/1/classify/type", json!("NEXT_CELL"), "first-cell"),
    ];
    for (place, value, named) in broken {
        let mut configuration = two_rules();
        *configuration.pointer_mut(place).unwrap() = value;
        let log = refused(&configuration);
        assert!(log.contains(named), "{place}: {log}");
    }
}

#[test]
fn a_malformed_configuration_is_refused() {
    for text in ["", "{", "[]", "{}", "null", "\u{0}", r#"{"topologyService":{}}"#] {
        let started = harness::filter::start(text);
        assert!(matches!(started, Err(StartError::Refused(_))), "{text:?}: {started:?}");
    }
    let mut unknown = two_rules();
    unknown["colour"] = json!("blue");
    assert!(refused(&unknown).contains("colour"));
}

#[test]
fn an_invalid_change_is_refused_and_the_old_configuration_stays() {
    let mut host = host();
    let changed = host.reconfigure("{}");
    assert!(matches!(changed, Err(StartError::Refused(_))), "{changed:?}");
    let stream = routed(&mut host, pull("acme"), "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
}

#[test]
fn a_change_applies_to_new_requests_and_not_to_waiting_ones() {
    let mut host = host();
    let waiting = host.on_request_headers(pull("acme")).unwrap();
    let mut changed = two_rules();
    changed["ruleset"]["rules"].as_array_mut().unwrap().remove(0);
    host.reconfigure(changed.to_string()).unwrap();
    respond_found(&mut host, "cell-1");
    assert_eq!(cluster(&host, waiting).as_deref(), Some("cell-1"));
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(classify_request(&only_call(&host)), json!({"type": "FIRST_CELL"}));
}
