use super::*;
use crate::upstream::ProtocolError;

async fn seen(error: Error) -> (u16, HeaderMap, serde_json::Value) {
    let challenge = Challenge::Bearer {
        realm: "https://gitlab.example/jwt/auth".into(),
        service: Some("dependency_proxy".into()),
        scope: None,
    };
    let response = error.into_response(&challenge);
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap())
}

fn status(status: u16) -> UpstreamError {
    UpstreamError::Status { status, retry_after: Some(17) }
}

#[tokio::test]
async fn each_upstream_failure_maps_to_its_status_and_code() {
    let cases = [
        (status(404), Subject::Manifest, 404, "MANIFEST_UNKNOWN"),
        (status(404), Subject::Blob, 404, "BLOB_UNKNOWN"),
        (status(401), Subject::Manifest, 403, "DENIED"),
        (status(403), Subject::Blob, 403, "DENIED"),
        (status(429), Subject::Manifest, 429, "TOOMANYREQUESTS"),
        (status(500), Subject::Manifest, 503, "UNAVAILABLE"),
        (UpstreamError::Timeout, Subject::Blob, 503, "UNAVAILABLE"),
        (UpstreamError::RateLimited { seconds: 3 }, Subject::Blob, 429, "TOOMANYREQUESTS"),
        (UpstreamError::CircuitOpen { seconds: 3 }, Subject::Blob, 503, "UNAVAILABLE"),
        (UpstreamError::Busy, Subject::Manifest, 503, "UNAVAILABLE"),
        (UpstreamError::Token { status: 401 }, Subject::Manifest, 403, "DENIED"),
        (UpstreamError::Token { status: 404 }, Subject::Manifest, 503, "UNAVAILABLE"),
        (ProtocolError::NotAManifest.into(), Subject::Blob, 502, "UNAVAILABLE"),
    ];
    for (error, subject, expected, code) in cases {
        let text = error.to_string();
        let (status, headers, body) = seen(CacheError::Upstream(subject, error).into()).await;
        assert_eq!(status, expected, "{text}");
        assert_eq!(body["errors"][0]["code"], code, "{text}");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert!(!headers.contains_key(WWW_AUTHENTICATE), "a client would drop its login");
    }
}

#[tokio::test]
async fn the_upstreams_retry_after_reaches_the_client() {
    let (_, headers, _) = seen(CacheError::Upstream(Subject::Manifest, status(429)).into()).await;
    assert_eq!(headers[RETRY_AFTER], "17");
    let open = UpstreamError::CircuitOpen { seconds: 42 };
    let (_, headers, _) = seen(CacheError::Upstream(Subject::Manifest, open).into()).await;
    assert_eq!(headers[RETRY_AFTER], "42");
    let (_, headers, _) =
        seen(CacheError::Upstream(Subject::Blob, UpstreamError::Timeout).into()).await;
    assert_eq!(headers[RETRY_AFTER], "5");
}

#[tokio::test]
async fn a_missing_login_gets_a_challenge_with_realm_and_service() {
    let (status, headers, _) = seen(AuthError::Unauthenticated.into()).await;
    assert_eq!(status, 401);
    assert_eq!(
        headers[WWW_AUTHENTICATE],
        r#"Bearer realm="https://gitlab.example/jwt/auth",service="dependency_proxy""#
    );
}

#[tokio::test]
async fn internal_causes_are_hidden_from_the_client() {
    let secret = || DbError::Corrupt { table: "blobs", why: "secret-path".into() };
    for error in
        [secret().into(), CacheError::from(secret()).into(), AuthError::from(secret()).into()]
    {
        let (status, _, body) = seen(error).await;
        assert_eq!(status, 503);
        assert!(!body.to_string().contains("secret-path"));
    }
}

#[tokio::test]
async fn a_panic_in_a_shared_fetch_is_an_internal_error_and_not_an_outage() {
    let (status, headers, body) = seen(CacheError::Internal.into()).await;
    assert_eq!((status, body["errors"][0]["code"].as_str()), (500, Some("UNKNOWN")));
    assert!(!headers.contains_key(RETRY_AFTER), "a retry would meet the same bug");
}

#[tokio::test]
async fn denials_are_not_found_and_a_failed_lookup_is_unavailable() {
    let path = || "acme".parse().unwrap();
    let lookup = AccessError::Lookup(Box::new(std::io::Error::other("secret-path")));
    for (error, expected, code) in [
        (AccessError::NotVisible(path()), 404, "NAME_UNKNOWN"),
        (AccessError::Disabled(path()), 404, "NAME_UNKNOWN"),
        (lookup, 503, "UNAVAILABLE"),
    ] {
        let (status, _, body) = seen(error.into()).await;
        assert_eq!((status, &body["errors"][0]["code"]), (expected, &code.into()));
        assert!(!body.to_string().contains("secret-path"));
    }
}

#[test]
fn a_credential_in_a_name_of_the_request_is_not_logged() {
    let not_visible = |path: String| AccessError::NotVisible(path.parse().unwrap()).into();
    let disabled = |path: String| AccessError::Disabled(path.parse().unwrap()).into();
    for error in [Error::NameInvalid, Error::UnknownService, not_visible, disabled] {
        for credential in ["glpat-SECRET", "eyJhbGciOi.e30.x"] {
            assert_eq!(error(credential.into()).redacted(), "(hidden)");
        }
        assert!(error("acme".into()).redacted().contains("`acme`"));
    }
}
