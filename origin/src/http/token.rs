//! The token endpoint (CNCF distribution token specification; GitLab's `JwtController`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use oci::query;
use oci::scope::{Scope, parse_scopes};
use serde::Serialize;

use crate::App;
use crate::auth::{AccessEntry, Issued, SERVICE};
use crate::error::Error;

/// The answer; `access_token` is what OAuth2 clients read, and the two are the same.
#[derive(Serialize)]
struct TokenAnswer<'t> {
    token: &'t str,
    access_token: &'t str,
    expires_in: u64,
    issued_at: String,
}

/// `GET /jwt/auth`. A POST gets 405: the edge cannot see a form's scopes, and clients that try one
/// first (containerd) come back with GET then.
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answer = match method {
        Method::GET => grant(&app, uri.query().unwrap_or_default(), &headers).await,
        _ => Err(Error::MethodNotAllowed("GET")),
    };
    answer.unwrap_or_else(|error| error.into_response(&app.challenge))
}

/// The public keys, for whoever must verify our tokens.
pub(super) async fn jwks(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    Json(app.auth.jwks().clone())
}

async fn grant(app: &App, query: &str, headers: &HeaderMap) -> Result<Response, Error> {
    if let Some(other) = query::values(query, "service").find(|service| service != SERVICE) {
        return Err(Error::UnknownService(other.into_owned()));
    }
    let identity = app.auth.log_in(headers).await?;
    let asked: Vec<_> = query::values(query, "scope").collect();
    let access = pulls(parse_scopes(asked.iter().map(AsRef::as_ref)));
    let issued = app.auth.issue(&identity, access)?;
    let mut response = Json(answer_of(&issued)).into_response();
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert("cache-control", no_store);
    Ok(response)
}

/// What is asked is noted, not granted: membership is checked at every pull, so that it ends at
/// once where it ends.
fn pulls(scopes: Vec<Scope>) -> Vec<AccessEntry> {
    let repositories = scopes.into_iter().filter(Scope::is_repository);
    repositories
        .filter(|scope| scope.actions.iter().any(|action| action == "pull"))
        .map(|scope| AccessEntry {
            resource_type: scope.resource_type,
            name: scope.name,
            actions: vec!["pull".to_owned()],
        })
        .collect()
}

fn answer_of(issued: &Issued) -> TokenAnswer<'_> {
    TokenAnswer {
        token: issued.token.expose(),
        access_token: issued.token.expose(),
        expires_in: issued.expires_in,
        issued_at: rfc3339(issued.issued_at),
    }
}

fn rfc3339(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
