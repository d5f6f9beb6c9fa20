//! The headers of a decision, as the upstream and the client receive them.

use wasm_host::HeaderMap;

use super::client::{cluster, get, pull, respond_found, routed, still_works, with};
use super::config::{host, shipped, start, two_rules};
use serde_json::json;

const OWNED: [&str; 7] = [
    "x-cell-cluster",
    "x-cell-hash-key",
    "x-cell",
    "x-cell-rule",
    "x-gitlab-http-router-rule-action",
    "x-gitlab-http-router-rule-type",
    "x-forwarded-host",
];

fn forgeries(headers: &HeaderMap) -> Vec<&(Vec<u8>, Vec<u8>)> {
    headers.pairs().iter().filter(|(_, value)| value == b"forged").collect()
}

#[test]
fn a_decision_sets_headers_with_cell_action_type_and_host() {
    let mut host = host();
    let stream = routed(&mut host, pull("acme"), "cell-1");
    for (name, value) in [
        ("x-cell-cluster", "cell-1"),
        ("x-gitlab-http-router-rule-action", "classify"),
        ("x-gitlab-http-router-rule-type", "route"),
        ("x-forwarded-host", "gitlab.example"),
    ] {
        let headers = host.request_headers(stream).unwrap();
        assert_eq!(headers.all(name).collect::<Vec<_>>(), [value.as_bytes()], "{name}");
    }
}

#[test]
fn the_route_cache_is_cleared_once_after_the_last_header() {
    let mut host = shipped("dependency_proxy");
    for path in ["/v2/acme/dependency_proxy/containers/alpine/manifests/3", "/c/1/jwt/auth", "/"] {
        let stream = routed(&mut host, get(path), "cell-1");
        assert_eq!(host.route_cache_clears(stream), 1, "{path}");
        assert!(!host.route_is_stale(stream), "{path}");
    }
}

#[test]
fn the_headers_are_also_set_without_envoys_foreign_functions() {
    let mut host = host();
    host.remove_foreign_functions();
    let stream = routed(&mut host, pull("acme"), "cell-1");
    assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
    assert_eq!(host.route_cache_clears(stream), 0);
    assert!(still_works(&mut host));
}

#[test]
fn forged_copies_are_removed_in_every_spelling_and_number() {
    for name in OWNED {
        for spelling in [name.to_owned(), name.replace('-', "_"), name.replacen('-', "_", 1)] {
            let mut host = host();
            let forged = with(with(pull("acme"), &spelling, "forged"), &spelling, "forged");
            let stream =
                routed(&mut host, with(forged, &spelling.to_uppercase(), "forged"), "cell-1");
            let headers = host.request_headers(stream).unwrap();
            assert!(forgeries(headers).is_empty(), "{spelling}: {headers:?}");
            assert_eq!(cluster(&host, stream).as_deref(), Some("cell-1"));
        }
    }
}

#[test]
fn forged_copies_are_removed_before_the_request_waits() {
    let mut host = host();
    let stream = host.on_request_headers(with(pull("acme"), "x-cell-cluster", "forged")).unwrap();
    assert!(forgeries(host.request_headers(stream).unwrap()).is_empty());
    respond_found(&mut host, "cell-1");
}

#[test]
fn other_headers_reach_the_cell_unchanged() {
    let mut host = host();
    let sent = with(with(pull("acme"), "accept", b"a/b"), "x-odd", b"\xff\x01");
    let stream = routed(&mut host, with(sent, "accept", b"c/d"), "cell-1");
    let headers = host.request_headers(stream).unwrap();
    assert_eq!(headers.all("accept").collect::<Vec<_>>(), [b"a/b", b"c/d"]);
    assert_eq!(headers.get("x-odd"), Some(&b"\xff\x01"[..]));
    assert_eq!(
        headers.get(":path"),
        pull("acme").into_iter().find(|(n, _)| n == ":path").map(|(_, v)| v).as_deref()
    );
}

#[test]
fn bytes_that_are_not_utf_8_do_not_break_the_filter() {
    let broken = b"\xff\xfe\x80";
    let mut host = host();
    for name in ["user-agent", "authorization", "cookie", "private-token", "host", "x-cell-cluster"]
    {
        host.on_request_headers(with(pull("acme"), name, broken)).unwrap();
        assert!(still_works(&mut host), "{name}");
    }
    let mut headers = get("/");
    headers[1].1 = b"/v2/\xff\xfe/manifests/3".to_vec();
    host.on_request_headers(headers).unwrap();
    assert!(still_works(&mut host), ":path");
    host.on_request_headers(Vec::<(Vec<u8>, Vec<u8>)>::new()).unwrap();
    assert!(still_works(&mut host), "a request without headers");
}

#[test]
fn bytes_that_are_not_utf_8_in_a_response_do_not_break_the_filter() {
    let mut host = host();
    host.on_request_headers(pull("acme")).unwrap();
    let call = super::client::only_call(&host).id;
    host.respond(
        call,
        200,
        [("cache-control", b"\xff=\xfe"), ("x-\u{e9}", b"\xff\xff\xff")],
        b"\xff{",
    )
    .unwrap();
    assert!(still_works(&mut host));
}

#[test]
fn the_response_names_cell_and_rule_if_configured() {
    let answered = |responses: bool| {
        let mut configuration = two_rules();
        configuration["responseHeaders"] = json!(responses);
        let mut host = start(&configuration);
        let stream = routed(&mut host, pull("acme"), "cell-1");
        host.on_response_headers(stream, [(":status", "200"), ("etag", "x")]).unwrap();
        let headers = host.response_headers(stream).unwrap();
        (headers.text("x-cell"), headers.text("x-cell-rule"), headers.text("etag"))
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(answered(true), (text("cell-1"), text("namespace"), text("x")));
    assert_eq!(answered(false), (None, None, text("x")));
}
