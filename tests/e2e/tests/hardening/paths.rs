//! Edge and Cell read the same path, or the request is refused.

use harness::production::Edge;

use super::{cell, reached, refusal, request};

const IMAGE: &str = "dependency_proxy/containers/alpine/manifests/latest";

#[tokio::test]
async fn an_ambiguous_path_is_refused() {
    let edge = Edge::start().await.unwrap();
    for path in [
        "/v2/acme%2fteam",
        "/v2/acme%2F..%2Fglobex",
        "/v2/acme%5cteam",
        "/v2/acme%5Cteam",
        "/v2/%2e%2e%2fglobex",
        "/v2/acme%00",
        "/v2/acme\0",
        "/v2/acme#",
        "/v2/acme\u{7f}",
        "/v2/acme\u{e9}",
        "/v2/acme;x=y",
        "/v2/acme%3bx=y",
        "/v2/acme%20",
        "/v2/acme%25%32%66x",
    ] {
        let response = edge.send(&request(&format!("GET {path}/{IMAGE}"), "")).await.unwrap();
        assert_eq!(refusal(&response).0, 400, "{path}");
    }
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn dots_slashes_and_backslashes_are_resolved_before_the_cell_is_chosen() {
    let edge = Edge::start().await.unwrap();
    let plain = format!("/v2/globex/{IMAGE}");
    for path in [
        format!("//v2///globex//{IMAGE}"),
        format!("/v2/acme/../globex/{IMAGE}"),
        format!("/v2/./globex/{IMAGE}"),
        format!("/v2/acme/%2e%2e/globex/{IMAGE}"),
        format!("/v2\\acme\\..\\globex/{IMAGE}"),
        format!("/../../v2/globex/{IMAGE}"),
    ] {
        let response = edge.send(&request(&format!("GET {path}"), "")).await.unwrap();
        assert_eq!(response.status, 200, "{path}");
        let [_, first, second, ..] = &edge.cells;
        let seen: Vec<_> = first.requests().into_iter().chain(second.requests()).collect();
        assert!(seen.iter().all(|seen| seen.target == plain), "{path}: {seen:?}");
    }
    assert_eq!(reached(&edge), 6);
}

/// The Topology Service decides whether letter case matters; to the fake one it does.
#[tokio::test]
async fn a_name_in_upper_case_is_classified_unchanged() {
    let edge = Edge::start().await.unwrap();
    let response = edge.send(&request(&format!("GET /v2/GLOBEX/{IMAGE}"), "")).await.unwrap();
    assert_eq!(cell(&response), "cell-1", "an unclaimed name goes to the first Cell");
}
