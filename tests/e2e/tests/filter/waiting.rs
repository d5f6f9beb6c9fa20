//! Requests that wait for the Topology Service: calls, responses, and the cache.

use serde_json::json;
use wasm_host::StreamState;

use super::client::{
    NOT_FOUND, classify_request, cluster, found, only_call, pull, respond_found, respond_not_found,
    routed,
};
use super::config::host;

#[test]
fn a_call_posts_json_to_the_configured_cluster_with_the_configured_timeout() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::Paused);
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
    assert_eq!(classify_request(&call), json!({"claims": [{"route": "acme"}]}));
}

#[test]
fn a_response_is_cached_for_its_lifetime_and_then_requested_again() {
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
fn the_services_cache_control_is_obeyed() {
    let mut host = host();
    let stream = host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.respond(call, 200, [("cache-control", "max-age=3600")], found("cell-1")).unwrap();
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    host.pass_time(1_800_000);
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(host.calls_made(), 1);
}

#[test]
fn not_found_is_also_cached_for_a_shorter_time() {
    let mut host = host();
    host.on_request_headers(pull("unclaimed")).unwrap();
    respond_not_found(&mut host);
    respond_found(&mut host, "cell-1");
    let again = host.on_request_headers(pull("unclaimed")).unwrap();
    assert_eq!(cluster(&host, again).as_deref(), Some("cell-1"));
    assert_eq!(host.calls_made(), 2);
    host.pass_time(30_000);
    host.on_request_headers(pull("unclaimed")).unwrap();
    assert_eq!(classify_request(&only_call(&host)), json!({"claims": [{"route": "unclaimed"}]}));
}

#[test]
fn namespaces_are_cached_separately() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    let globex = routed(&mut host, pull("globex"), "cell-2");
    assert_eq!(cluster(&host, globex).as_deref(), Some("cell-2"));
    let acme = host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(cluster(&host, acme).as_deref(), Some("cell-1"));
}

#[test]
fn found_and_not_found_replace_each_other_in_the_cache() {
    let mut host = host();
    host.on_request_headers(pull("acme")).unwrap();
    let call = only_call(&host).id;
    host.respond(call, 404, [("cache-control", "max-age=10")], NOT_FOUND).unwrap();
    respond_found(&mut host, "cell-1");
    host.pass_time(60_000);
    let stream = routed(&mut host, pull("acme"), "cell-2");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-2"));
}
