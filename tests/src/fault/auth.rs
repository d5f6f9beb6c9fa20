//! How it wants to be authenticated to.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::{BASIC, Context, Faults, Login, TOKEN};

pub(super) fn challenge(
    context: &Context,
    faults: &Faults,
    headers: &HeaderMap,
) -> Option<Response> {
    let own = || format!("{}/token", context.url);
    let bearer = |realm: &str| format!(r#"Bearer realm="{realm}",service="fault""#);
    let (expected, challenge) = match faults.asks_for.as_ref()? {
        Login::Token => (format!("Bearer {TOKEN}"), bearer(&own())),
        Login::TokenOf(realm) => (format!("Bearer {TOKEN}"), bearer(realm)),
        Login::Basic => (BASIC.to_owned(), "Basic realm=\"fault\"".to_owned()),
    };
    if headers.get("authorization").is_some_and(|value| value.as_bytes() == expected.as_bytes()) {
        return None;
    }
    Some((StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
}
