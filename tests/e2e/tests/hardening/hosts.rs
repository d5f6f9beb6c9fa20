//! The hostnames with their filters, and the other listeners.

use harness::production::{self, Edge, HttpVersion, MIRROR, REGISTRY, WEB};

use super::{BOTH, MANIFEST, cell, reached};

#[test]
fn envoy_accepts_the_shipped_files_without_a_warning() {
    let said = production::validate().unwrap();
    assert!(said.contains("' OK"), "{said}");
    for word in ["[warning]", "[error]", "eprecated"] {
        assert!(!said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn each_hostname_has_its_own_filter_and_clusters() {
    let edge = Edge::start().await.unwrap();
    for http in BOTH {
        let response = edge.get(http, WEB, MANIFEST, &[]).await.unwrap();
        assert_eq!(cell(&response), "cell-1");
        let response = edge.get(http, REGISTRY, "/v2/globex/app/manifests/v1", &[]).await.unwrap();
        assert_eq!(cell(&response), "registry-cell-2");
    }
}

#[tokio::test]
async fn a_groups_mirror_host_is_its_dependency_proxy() {
    let edge = Edge::start().await.unwrap();
    for http in BOTH {
        let path = "/v2/library/alpine/manifests/latest";
        assert_eq!(cell(&edge.get(http, MIRROR, path, &[]).await.unwrap()), "cell-1");
    }
    let [first, ..] = &edge.cells;
    for seen in first.requests() {
        let proxied = "/v2/acme/dependency_proxy/containers/library/alpine/manifests/latest";
        assert_eq!(seen.target, proxied);
    }
}

#[tokio::test]
async fn responses_carry_the_edges_name_and_a_request_id_and_no_header_of_envoys() {
    let edge = Edge::start().await.unwrap();
    let sent = [("x-request-id", "mine")];
    let response = edge.get(HttpVersion::Two, WEB, MANIFEST, &sent).await.unwrap();
    assert_eq!(response.header("server"), "edge");
    assert!(!response.headers.keys().any(|name| name.as_str().starts_with("x-envoy")));
    let id = response.header("x-request-id");
    assert_eq!(id.len(), 36, "{id}");
    let [first, ..] = &edge.cells;
    assert_eq!(first.requests()[0].headers["x-request-id"], id);
}

#[tokio::test]
async fn the_admin_interface_shows_metrics_and_readiness_and_nothing_else() {
    let edge = Edge::start().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str, method: reqwest::Method| {
        let url = format!("http://127.0.0.1:{}{path}", edge.stats_port);
        client.request(method, url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("/ready", reqwest::Method::GET).await, 200);
    assert_eq!(status("/stats/prometheus", reqwest::Method::GET).await, 200);
    for path in ["/config_dump", "/certs", "/quitquitquit", "/stats", "/"] {
        assert_eq!(status(path, reqwest::Method::GET).await, 404, "{path}");
    }
    assert_eq!(status("/stats/prometheus", reqwest::Method::POST).await, 404);
}

#[tokio::test]
async fn old_tls_versions_and_unknown_protocols_are_refused() {
    let edge = Edge::start().await.unwrap();
    let stream = edge.connect(b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let stream = edge.connect(b"spdy/3").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let client = edge.client_builder().unwrap().tls_version_max(reqwest::tls::Version::TLS_1_2);
    let client = client.build().unwrap();
    assert!(client.get(edge.url(WEB, MANIFEST)).send().await.is_ok());
    assert_eq!(reached(&edge), 1);
}
