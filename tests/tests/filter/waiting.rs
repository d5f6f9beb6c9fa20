//! Requests that wait for the Topology Service: questions, answers, and the cache between them.

use e2e::host::Outcome;
use serde_json::json;

use super::client::{
    NOT_FOUND, answer_found, answer_not_found, cluster, found, only_call, pull, question, routed,
};
use super::config::host;

#[test]
fn a_question_is_a_post_of_json_to_the_configured_cluster_within_the_configured_time() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(host.outcome(stream).unwrap(), Outcome::Pause);
    let call = only_call(&host);
    assert_eq!((call.cluster.as_str(), call.timeout_ms), ("topology", 250));
    for (name, value) in [
        (":method", "POST"),
        (":path", "/v1/classify"),
        (":authority", "topology.example"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(call.headers.text(name).as_deref(), Some(value));
    }
    assert_eq!(question(&call), json!({"claims": [{"route": "acme"}]}));
}

#[test]
fn an_answer_is_kept_for_its_time_and_asked_for_again_after_it() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    assert_eq!(host.calls_made(), 1);
    host.pass_time(24 * 3_600_000);
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(host.calls_made(), 2);
}

#[test]
fn a_service_that_names_a_time_is_obeyed() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.answer(call, 200, [("cache-control", "max-age=3600")], found("cell-1")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    host.pass_time(1_800_000);
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(host.calls_made(), 1);
}

#[test]
fn not_found_is_kept_too_for_a_shorter_time() {
    let mut host = host();
    host.on_request_headers(pull("nobody")).unwrap();
    answer_not_found(&mut host);
    answer_found(&mut host, "cell-1");
    let again = host.on_request_headers(pull("nobody")).unwrap();
    assert_eq!(cluster(&host, again).as_deref(), Some("cell-1"));
    assert_eq!(host.calls_made(), 2);
    host.pass_time(30_000);
    host.on_request_headers(pull("nobody")).unwrap();
    assert_eq!(question(&only_call(&host)), json!({"claims": [{"route": "nobody"}]}));
}

#[test]
fn namespaces_do_not_answer_for_each_other() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    let globex = routed(&mut host, pull("globex"), "cell-2");
    assert_eq!(cluster(&host, globex).as_deref(), Some("cell-2"));
    let acme = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(cluster(&host, acme).as_deref(), Some("cell-1"));
}

#[test]
fn what_is_not_found_is_not_remembered_as_found_nor_the_other_way_round() {
    let mut host = host();
    host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.answer(call, 404, [("cache-control", "max-age=10")], NOT_FOUND).unwrap();
    answer_found(&mut host, "cell-1");
    host.pass_time(60_000);
    let stream = routed(&mut host, pull("acme"), "cell-2");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-2"));
}
