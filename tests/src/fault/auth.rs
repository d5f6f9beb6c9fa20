//! How it wants to be authenticated to.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{BASIC, Context, Faults, Login};

/// How its token endpoint misbehaves; the default does not.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Every request gets this status.
    pub status: Option<u16>,
    /// It answers with a page for people.
    pub html: bool,
    /// The token is called `access_token`, and nothing is said of its life.
    pub bare: bool,
    /// Tokens of an earlier generation are refused.
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
    let (expected, challenge) = match faults.asks_for.as_ref()? {
        Login::Token => (token(), bearer(&own())),
        Login::TokenOf(realm) => (token(), bearer(realm)),
        Login::Basic => (BASIC.to_owned(), "Basic realm=\"fault\"".to_owned()),
    };
    let given = headers.get("authorization").map(|value| value.as_bytes());
    if given == Some(expected.as_bytes()) && !faults.tokens.useless {
        return None;
    }
    Some((StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
}

pub(super) fn token(faults: &Tokens) -> Response {
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

impl Tokens {
    fn current(&self) -> String {
        match self.generation {
            0 => "upstream-token".to_owned(),
            later => format!("upstream-token-{later}"),
        }
    }
}
