//! No log contains a token, wherever a client puts it.

use harness::production::{Edge, WEB};

use super::{BOTH, MANIFEST, request};

const TOKEN: &str = "glpat-ThisIsNotForAnyLog_.01.0w1234567";

#[tokio::test]
async fn no_log_contains_a_token() {
    let edge = Edge::start().await.unwrap();
    let targets = [
        format!("{MANIFEST}?private_token={TOKEN}"),
        format!("/jwt/auth?service=dependency_proxy&scope={TOKEN}"),
        format!("/jwt/auth%3Fprivate_token={TOKEN}"),
        format!("/api/v4/x;private_token={TOKEN}"),
        format!("/v2/{TOKEN}/dependency_proxy/containers/alpine/manifests/latest"),
        format!("/v2/{}/app/manifests/latest", TOKEN.replace("glpat-", "glrtr-")),
        format!("/v2/{}/app/manifests/latest", TOKEN.replace("glpat-", "GLPAT-")),
        format!("/v2/ours-{}.01.0w1234567/app/manifests/latest", "ThisIsNotForAnyLog_".repeat(2)),
        "/v2/acme/_gitlab_session_ThisIsNotForAnyLog".to_owned(),
        "/jwt/auth%3Fprivate_token%3DThisIsNotForAnyLog".to_owned(),
        format!("/feed?feed_token={TOKEN}"),
    ];
    let headers = [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", format!("Basic {TOKEN}")),
        ("private-token", TOKEN.to_owned()),
        ("cookie", format!("_gitlab_session={TOKEN}")),
        ("referer", format!("https://{WEB}/?private_token={TOKEN}")),
        ("x-cell-cluster", TOKEN.to_owned()),
    ];
    for http in BOTH {
        for target in &targets {
            edge.get(http, WEB, target, &[]).await.unwrap();
        }
        for (name, value) in &headers {
            edge.get(http, WEB, MANIFEST, &[(name, value)]).await.unwrap();
        }
    }
    // Refused before the filter, by the codec or the path normalisation.
    for (target, header) in [
        (format!("/v2/a%2f{TOKEN}"), String::new()),
        ("/v2/".to_owned(), format!("x_token: {TOKEN}\r\n")),
        ("/v2/".to_owned(), format!("authorization: {TOKEN}\0\r\n")),
    ] {
        edge.send(&request(&format!("GET {target}"), &header)).await.unwrap();
    }
    for host in [format!("{TOKEN}.example"), format!("jo:ThisIsNotForAnyLog@{WEB}")] {
        let message = format!("GET /v2/ HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        edge.send(message.as_bytes()).await.unwrap();
    }
    let last = "/v2/acme/dependency_proxy/containers/last/manifests/latest";
    edge.get(BOTH[0], WEB, last, &[]).await.unwrap();
    edge.until("the access log", async || edge.access_log().contains("/last/")).await.unwrap();

    let (secret, logs) = ("ThisIsNotForAnyLog", edge.logs());
    let leaked: Vec<_> = logs.lines().filter(|line| line.contains(secret)).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert!(logs.contains(r#""path":"(hidden)""#), "a path with a token is hidden completely");
    assert!(logs.contains(r#""host":"(hidden)""#), "a host with a token is hidden completely");
}

#[tokio::test]
async fn the_access_log_holds_a_bounded_part_of_a_path() {
    let edge = Edge::start().await.unwrap();
    edge.get(BOTH[1], WEB, &format!("/{}", "a".repeat(3000)), &[]).await.unwrap();
    edge.until("the access log", async || edge.access_log().ends_with('\n')).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(edge.access_log().trim()).unwrap();
    assert_eq!(line["path"], format!("/{}", "a".repeat(511)));
    assert!(line["host"].as_str().unwrap().starts_with(WEB), "{line}");
}

#[tokio::test]
async fn the_access_log_holds_one_json_object_per_request_with_its_id() {
    let edge = Edge::start().await.unwrap();
    let response = edge.get(BOTH[1], WEB, &format!("{MANIFEST}?n=1"), &[]).await.unwrap();
    edge.until("the access log", async || edge.access_log().ends_with('\n')).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(edge.access_log().trim()).unwrap();
    assert_eq!(line["request_id"], response.header("x-request-id"));
    assert_eq!((&line["path"], &line["status"]), (&MANIFEST.into(), &200.into()));
    assert_eq!((&line["cell"], &line["protocol"]), (&"cell-1".into(), &"HTTP/2".into()));
    assert_eq!((&line["client"], &line["method"]), (&"127.0.0.1".into(), &"GET".into()));
}
