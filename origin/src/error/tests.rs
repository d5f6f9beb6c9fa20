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
async fn each_upstream_failure_has_its_own_honest_answer() {
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
        let (status, headers, body) = seen(Error::Upstream(subject, error)).await;
        assert_eq!(status, expected, "{text}");
        assert_eq!(body["errors"][0]["code"], code, "{text}");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert!(!headers.contains_key(WWW_AUTHENTICATE), "a client would drop its login");
    }
}

#[tokio::test]
async fn the_upstreams_retry_after_reaches_the_client() {
    let (_, headers, _) = seen(Error::Upstream(Subject::Manifest, status(429))).await;
    assert_eq!(headers[RETRY_AFTER], "17");
    let open = UpstreamError::CircuitOpen { seconds: 42 };
    let (_, headers, _) = seen(Error::Upstream(Subject::Manifest, open)).await;
    assert_eq!(headers[RETRY_AFTER], "42");
    let (_, headers, _) = seen(Error::Upstream(Subject::Blob, UpstreamError::Timeout)).await;
    assert_eq!(headers[RETRY_AFTER], "5");
}

#[tokio::test]
async fn a_missing_login_is_challenged_with_realm_and_service() {
    let (status, headers, _) = seen(Error::Unauthenticated).await;
    assert_eq!(status, 401);
    assert_eq!(
        headers[WWW_AUTHENTICATE],
        r#"Bearer realm="https://gitlab.example/jwt/auth",service="dependency_proxy""#
    );
}

#[tokio::test]
async fn causes_inside_the_cell_are_not_told() {
    let secret = Error::File(std::io::Error::other("/var/lib/secret-path"));
    let (status, _, body) = seen(secret).await;
    assert_eq!(status, 503);
    assert!(!body.to_string().contains("secret-path"));
}

#[tokio::test]
async fn a_panic_in_a_shared_fetch_is_an_internal_error_and_not_an_outage() {
    let (status, headers, body) = seen(CacheError::Internal.into()).await;
    assert_eq!((status, body["errors"][0]["code"].as_str()), (500, Some("UNKNOWN")));
    assert!(!headers.contains_key(RETRY_AFTER), "a retry would meet the same bug");
}

#[test]
fn a_credential_in_a_name_of_the_request_is_not_logged() {
    for error in [Error::GroupUnknown, Error::NameInvalid, Error::UnknownService, Error::Disabled] {
        assert_eq!(error("glpat-SECRET".into()).logged(), "(hidden)");
        assert!(error("acme".into()).logged().contains("`acme`"));
    }
}
