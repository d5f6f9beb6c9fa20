//! Authentication: the challenge and the token endpoint.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Authentication, BASIC, Context, Faults};

/// How the token endpoint misbehaves; by default it does not.
#[derive(Debug, Clone, Default)]
pub struct TokenFaults {
    /// The status of every response.
    pub status: Option<u16>,
    /// The response is an HTML page.
    pub html: bool,
    /// The token's field is `access_token`, and its lifetime is missing.
    pub bare: bool,
    /// The registry refuses tokens of an earlier generation.
    pub generation: u32,
    /// The registry refuses every token.
    pub useless: bool,
}

pub(super) fn challenge(
    context: &Context,
    faults: &Faults,
    headers: &HeaderMap,
) -> Option<Response> {
    let own = || format!("{}/token", context.url);
    let bearer = |realm: &str| format!(r#"Bearer realm="{realm}",service="fault""#);
    let token = || format!("Bearer {}", faults.tokens.current());
    let (expected, challenge) = match faults.requires.as_ref()? {
        Authentication::Token => (token(), bearer(&own())),
        Authentication::TokenOf(realm) => (token(), bearer(realm)),
        Authentication::Basic => (BASIC.to_owned(), "Basic realm=\"fault\"".to_owned()),
    };
    let sent = headers.get("authorization").map(|value| value.as_bytes());
    if sent == Some(expected.as_bytes()) && !faults.tokens.useless {
        return None;
    }
    Some((StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
}

pub(super) fn token(faults: &TokenFaults) -> Response {
    if let Some(status) = faults.status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
        return (status, [("retry-after", "9")]).into_response();
    }
    if faults.html {
        return ([("content-type", "text/html")], "<html>please log in</html>").into_response();
    }
    let token = faults.current();
    let body = match faults.bare {
        true => json!({"access_token": token}),
        false => json!({"token": token, "expires_in": 300}),
    };
    body.to_string().into_response()
}

impl TokenFaults {
    fn current(&self) -> String {
        match self.generation {
            0 => "upstream-token".to_owned(),
            later => format!("upstream-token-{later}"),
        }
    }
}
