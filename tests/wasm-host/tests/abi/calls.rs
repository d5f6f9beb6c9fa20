//! HTTP calls and their responses.

use crate::*;

/// Calls the cluster "c" for every request. For each response, logs how many headers it has and the
/// status of reading them.
fn host() -> FilterHost {
    let headers = encode_pairs(&pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]));
    let size = headers.len();
    let headers: String = headers.iter().map(|byte| format!("\\{byte:02x}")).collect();
    started(&format!(
        r#"(import "env" "proxy_http_call"
               (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_get_header_map_pairs" (func $get (param i32 i32 i32) (result i32)))
           (data (i32.const 0) "c{headers}")
           (func $digit (param i32)
               (i32.store8 (i32.const 512) (i32.add (i32.const 48) (local.get 0)))
               (call $say (i32.const 512) (i32.const 1)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (call $digit (call $call (i32.const 0) (i32.const 1) (i32.const 1) (i32.const {size})
                   (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 25)
                   (i32.const 600)))
               (i32.const 1))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
               (call $digit (local.get 2))
               (call $digit (call $get (i32.const 6) (i32.const 64) (i32.const 68))))
           {MALLOC}"#
    ))
}

fn only_call(host: &FilterHost) -> wasm_host::Call {
    let calls = host.calls();
    assert_eq!(calls.len(), 1);
    calls.into_iter().next().unwrap()
}

#[test]
fn a_call_shows_its_cluster_body_timeout_and_request() {
    let mut host = host();
    let stream = request(&mut host);
    let call = only_call(&host);
    assert_eq!((call.cluster.as_str(), call.timeout_ms), ("c", 25));
    assert_eq!((call.body.as_slice(), call.stream), (&b"c"[..], Some(stream)));
    assert_eq!(call.headers.get(":path"), Some(&b"/"[..]));
}

#[test]
fn the_status_of_a_response_is_one_of_its_headers() {
    let mut host = host();
    request(&mut host);
    let call = only_call(&host).id;
    host.respond(call, 200, [("x-a", "b")], "body").unwrap();
    assert_eq!(logged(&host), ["0", "2", "0"]);
    assert!(host.respond(call, 200, [("x-a", "b")], "body").is_err());
}

#[test]
fn a_failed_call_has_no_headers_and_reading_them_is_a_bad_argument() {
    let mut host = host();
    request(&mut host);
    host.fail(only_call(&host).id).unwrap();
    assert_eq!(logged(&host), ["0", "0", "2"]);
}

#[test]
fn a_response_is_delivered_after_its_request_has_ended() {
    let mut host = host();
    let stream = request(&mut host);
    host.end_stream(stream).unwrap();
    host.time_out(only_call(&host).id).unwrap();
    assert_eq!(logged(&host), ["0", "2", "0"]);
}

#[test]
fn a_call_to_an_unknown_cluster_is_refused_immediately() {
    let mut host = host();
    host.remove_cluster("c");
    request(&mut host);
    assert_eq!(logged(&host), ["2"]);
    assert_eq!(host.calls_made(), 0);
}
