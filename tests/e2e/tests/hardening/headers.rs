//! Headers that only the edge may set, and headers that may occur only once.

use harness::production::{Edge, HttpVersion, WEB};

use super::{BOTH, MANIFEST, cell, reached, refusal, request};

/// The headers by which a client could try to select its Cell or to impersonate another client.
const FORGED: [(&str, &str); 20] = [
    ("x-cell-cluster", "cell-2"),
    ("x-cell-cluster", "registry-cell-1"),
    ("X-Cell-Hash-Key", "sha256:0"),
    ("x-cell", "cell-2"),
    ("x-cell-rule", "forged"),
    ("x-gitlab-http-router-rule-action", "forged"),
    ("x-gitlab-http-router-rule-type", "forged"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-port", "80"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
    ("x-original-url", "/v2/globex/dependency_proxy/containers/alpine/manifests/latest"),
    ("x-envoy-original-path", "/admin"),
    ("x-envoy-internal", "true"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
];

#[tokio::test]
async fn headers_of_the_edge_arrive_once_and_with_the_edges_value() {
    let edge = Edge::start().await.unwrap();
    for http in BOTH {
        let response = edge.get(http, WEB, MANIFEST, &FORGED).await.unwrap();
        assert_eq!(cell(&response), "cell-1");
    }
    let [first, ..] = &edge.cells;
    for seen in first.requests() {
        let all = |name: &str| -> Vec<_> {
            seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-cell-cluster"), ["cell-1"]);
        assert_eq!(all("x-cell-hash-key"), ["alpine"]);
        assert_eq!(all("x-gitlab-http-router-rule-action"), ["classify"]);
        // For a client on loopback, Envoy reports the machine's own address.
        assert!(matches!(all("x-forwarded-for")[..], [one] if !one.contains("10.0.0.1")));
        assert_eq!(all("x-forwarded-proto"), ["https"]);
        assert_eq!(all("x-forwarded-host"), all("host"));
        let forged = seen.headers.iter().filter(|(name, value)| {
            FORGED
                .iter()
                .any(|(forged, said)| *name == forged.to_lowercase().as_str() && value == said)
        });
        assert_eq!(forged.count(), 0, "{:?}", seen.headers);
        let of_envoy = seen.headers.keys().filter(|name| name.as_str().starts_with("x-envoy"));
        assert_eq!(
            of_envoy.collect::<Vec<_>>(),
            ["x-envoy-external-address"],
            "only Envoy's own header"
        );
    }
}

#[tokio::test]
async fn a_name_with_an_underscore_is_refused() {
    let edge = Edge::start().await.unwrap();
    for name in ["x_cell_cluster", "X_Cell-Cluster", "x-cell_cluster", "any_thing"] {
        let response =
            edge.send(&request("GET /v2/", &format!("{name}: cell-2\r\n"))).await.unwrap();
        assert_eq!(refusal(&response), (400, "UNKNOWN".to_owned()), "{name}");
    }
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn a_refusal_by_envoy_has_the_request_id_of_the_access_log() {
    let edge = Edge::start().await.unwrap();
    let large = format!("x-large: {}\r\n", "a".repeat(40_000));
    for (line, headers, status) in [
        ("GET /v2/acme%2fx", "", 400),
        ("GET /v2/", "x_any: 1\r\n", 400),
        ("GET /v2/", large.as_str(), 431),
        ("CONNECT a:1", "", 404),
    ] {
        let response = edge.send(&request(line, headers)).await.unwrap();
        assert_eq!(response.status, status, "{line}");
        let id = response.header("x-request-id");
        assert_eq!(id.len(), 36, "{line}: {id}");
        edge.until(line, async || edge.access_log().contains(id)).await.unwrap();
    }
}

#[tokio::test]
async fn two_credentials_are_refused_in_any_form() {
    let edge = Edge::start().await.unwrap();
    let (basic, bearer) = ("Basic YTpi", "Bearer x");
    let joined = format!("{basic}, {bearer}");
    for http in BOTH {
        for headers in [
            &[("authorization", basic), ("authorization", bearer)][..],
            &[("authorization", basic), ("authorization", basic)],
            &[("authorization", joined.as_str())],
        ] {
            let response = edge.get(http, WEB, MANIFEST, headers).await.unwrap();
            assert_eq!(refusal(&response), (400, "UNKNOWN".to_owned()), "{headers:?}");
        }
    }
    assert_eq!(reached(&edge), 0);
    assert_eq!(
        cell(
            &edge.get(HttpVersion::Two, WEB, MANIFEST, &[("authorization", basic)]).await.unwrap()
        ),
        "cell-1"
    );
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let edge = Edge::start().await.unwrap();
    for (headers, status) in [
        (format!("Host: {WEB}\r\n"), 421),
        ("Host: evil.example\r\n".to_owned(), 421),
        ("host: registry.gitlab.example.com\r\n".to_owned(), 421),
    ] {
        let response = edge.send(&request("GET /v2/", &headers)).await.unwrap();
        assert_eq!(refusal(&response), (status, "UNSUPPORTED".to_owned()), "{headers}");
    }
    let absolute = request("GET http://evil.example/v2/", "");
    assert_eq!(refusal(&edge.send(&absolute).await.unwrap()).0, 421);
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused_with_431() {
    let edge = Edge::start().await.unwrap();
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let large = format!("authorization: Bearer {}\r\n", "a".repeat(33 * 1024));
    for headers in [many, large] {
        let response = edge.send(&request("GET /v2/", &headers)).await.unwrap();
        assert_eq!(refusal(&response), (431, "UNKNOWN".to_owned()));
    }
    let response =
        edge.send(&request(&format!("GET /v2/{}", "a".repeat(33 * 1024)), "")).await.unwrap();
    assert_eq!(refusal(&response), (431, "UNKNOWN".to_owned()));
    assert_eq!(reached(&edge), 0);

    let fits = format!("Bearer {}", "a".repeat(30 * 1024));
    let response =
        edge.get(HttpVersion::One, WEB, MANIFEST, &[("authorization", &fits)]).await.unwrap();
    assert_eq!(cell(&response), "cell-1");
}
