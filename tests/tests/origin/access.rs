//! Who may see what, and who gets our credentials.

use e2e::client::Puller;
use e2e::fault::{BASIC, FaultRegistry, Faults, Login};
use reqwest::Method;

use super::Pull;

#[tokio::test]
async fn another_group_sees_a_stored_blob_only_if_the_upstream_lets_it() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let other = pull.client_of("globex", &globex);
    let (digest, path) = (pull.layer_digest(), format!("blobs/{}", pull.layer_digest()));
    assert!(pull.client().blob(&digest).await.unwrap().body == pull.layer());

    pull.upstream.fail(Faults { status: Some(404), ..Faults::default() });
    for method in [Method::HEAD, Method::GET] {
        let answer = other.ask(method.clone(), &path, &[]).await.unwrap();
        assert_eq!(answer.status, 404, "{method}");
    }
    pull.upstream.fail(Faults::default());
    assert!(other.blob(&digest).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 1, "one copy serves both");
    pull.upstream.stop();
    assert!(other.blob(&digest).await.unwrap().body == pull.layer());
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent_to_the_registry_only() {
    let pull = Pull::with("username = \"robot\"\npassword = \"hunter2\"\n").await;
    let cdn = FaultRegistry::start().await.unwrap();
    cdn.add("library/app", "latest", &pull.image);
    pull.upstream.fail(Faults {
        asks_for: Some(Login::Token),
        redirect_blobs_to: Some(cdn.url().to_owned()),
        ..Faults::default()
    });
    pull.client().manifest("latest").await.unwrap();
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.upstream.count("GET", "/token"), 1);
    for seen in pull.upstream.seen() {
        let expected = if seen.path == "/token" { BASIC } else { "Bearer upstream-token" };
        let first = seen.authorization.is_none();
        assert!(first || seen.authorization.as_deref() == Some(expected), "{seen:?}");
    }
    assert!(cdn.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", cdn.seen());
}

#[tokio::test]
async fn a_registry_that_asks_for_a_password_gets_the_configured_one() {
    let robot = Pull::with("username = \"robot\"\npassword = \"hunter2\"\n").await;
    robot.upstream.fail(Faults { asks_for: Some(Login::Basic), ..Faults::default() });
    assert_eq!(robot.client().manifest("latest").await.unwrap().status, 200);
    let nobody = Pull::start().await;
    nobody.upstream.fail(Faults { asks_for: Some(Login::Basic), ..Faults::default() });
    let answer = nobody.client().manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (403, Some("DENIED")));
}

#[tokio::test]
async fn a_realm_of_somebody_else_gets_nothing() {
    let pull = Pull::start().await;
    let elsewhere = Login::TokenOf("https://evil.example/token".to_owned());
    pull.upstream.fail(Faults { asks_for: Some(elsewhere), ..Faults::default() });
    let answer = pull.client().manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (502, Some("UNAVAILABLE")));
}

#[tokio::test]
async fn strangers_and_missing_groups_look_alike() {
    let pull = Pull::start().await;
    pull.cell.member_of("globex").await.unwrap();
    let existing = pull.client_of("globex", &pull.acme).manifest("latest").await.unwrap();
    let missing = pull.client_of("nobody", &pull.acme).manifest("latest").await.unwrap();
    assert_eq!((existing.status, existing.code().as_deref()), (404, Some("NAME_UNKNOWN")));
    assert_eq!(
        String::from_utf8_lossy(&existing.body).replace("globex", "nobody"),
        String::from_utf8_lossy(&missing.body)
    );
    assert!(pull.upstream.seen().is_empty(), "the upstream is asked for members only");
}

#[tokio::test]
async fn without_a_login_there_is_a_challenge() {
    let pull = Pull::start().await;
    let nobody = Puller::new(pull.cell.url(), "acme", "app", None).unwrap();
    let answer = nobody.manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (401, Some("UNAUTHORIZED")));
    assert_eq!(
        answer.header("www-authenticate"),
        r#"Bearer realm="http://edge.example/jwt/auth",service="dependency_proxy""#
    );
}
