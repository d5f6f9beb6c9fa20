//! Access to cached images, and the credentials sent to upstreams.

use harness::client::Puller;
use harness::fault::{Authentication, BASIC, FaultRegistry, Faults};
use reqwest::Method;

use super::Pull;

#[tokio::test]
async fn another_group_is_served_a_stored_blob_only_if_the_upstream_allows_it() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let other = pull.client_of("globex", &globex);
    let (digest, path) = (pull.layer_digest(), format!("blobs/{}", pull.layer_digest()));
    assert!(pull.client().blob(&digest).await.unwrap().body == pull.layer());

    pull.upstream.fail(Faults { status: Some(404), ..Faults::default() });
    for method in [Method::HEAD, Method::GET] {
        let response = other.request(method.clone(), &path, &[]).await.unwrap();
        assert_eq!(response.status, 404, "{method}");
    }
    pull.upstream.fail(Faults::default());
    assert!(other.blob(&digest).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 1, "both groups share one copy");
    pull.upstream.stop();
    assert!(other.blob(&digest).await.unwrap().body == pull.layer());
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent_only_to_the_registry() {
    let pull = Pull::with("username = \"robot\"\npassword = \"hunter2\"\n").await;
    let cdn = FaultRegistry::start().await.unwrap();
    cdn.add("library/app", "latest", &pull.image);
    pull.upstream.fail(Faults {
        requires: Some(Authentication::Token),
        redirect_blobs_to: Some(cdn.url().to_owned()),
        ..Faults::default()
    });
    pull.client().manifest("latest").await.unwrap();
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.upstream.count("GET", "/token"), 1);
    for seen in pull.upstream.requests() {
        let expected = if seen.path == "/token" { BASIC } else { "Bearer upstream-token" };
        let first = seen.authorization.is_none();
        assert!(first || seen.authorization.as_deref() == Some(expected), "{seen:?}");
    }
    assert!(cdn.requests().iter().all(|seen| seen.authorization.is_none()), "{:?}", cdn.requests());
}

#[tokio::test]
async fn a_registry_that_requires_a_password_receives_the_configured_one() {
    let robot = Pull::with("username = \"robot\"\npassword = \"hunter2\"\n").await;
    robot.upstream.fail(Faults { requires: Some(Authentication::Basic), ..Faults::default() });
    assert_eq!(robot.client().manifest("latest").await.unwrap().status, 200);
    let anonymous = Pull::start().await;
    anonymous.upstream.fail(Faults { requires: Some(Authentication::Basic), ..Faults::default() });
    let response = anonymous.client().manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (403, Some("DENIED")));
}

#[tokio::test]
async fn a_realm_on_another_host_receives_no_credentials() {
    let pull = Pull::start().await;
    let elsewhere = Authentication::TokenOf("https://evil.example/token".to_owned());
    pull.upstream.fail(Faults { requires: Some(elsewhere), ..Faults::default() });
    let response = pull.client().manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (502, Some("UNAVAILABLE")));
}

#[tokio::test]
async fn a_group_without_access_looks_like_a_missing_group() {
    let pull = Pull::start().await;
    pull.cell.member_of("globex").await.unwrap();
    let existing = pull.client_of("globex", &pull.acme).manifest("latest").await.unwrap();
    let missing = pull.client_of("missing", &pull.acme).manifest("latest").await.unwrap();
    assert_eq!((existing.status, existing.code().as_deref()), (404, Some("NAME_UNKNOWN")));
    assert_eq!(
        String::from_utf8_lossy(&existing.body).replace("globex", "missing"),
        String::from_utf8_lossy(&missing.body)
    );
    assert!(pull.upstream.requests().is_empty(), "the upstream is queried for members only");
}

#[tokio::test]
async fn a_request_without_a_login_is_challenged() {
    let pull = Pull::start().await;
    let anonymous = Puller::new(pull.cell.url(), "acme", "app", None).unwrap();
    let response = anonymous.manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (401, Some("UNAUTHORIZED")));
    assert_eq!(
        response.header("www-authenticate"),
        r#"Bearer realm="http://edge.example/jwt/auth",service="dependency_proxy""#
    );
}
