//! The token endpoint (CNCF distribution token specification; GitLab's `JwtController`).

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use oci::query;
use oci::scope::{Scope, parse_scopes};
use serde::Serialize;

use super::error::Error;
use crate::access;
use crate::app::App;
use crate::auth::{AccessEntry, Identity, Issued, Service};
use crate::config::ExposeSecret as _;

/// The most repositories in one token; each costs a database query.
const MAX_SCOPES: usize = 100;

/// The response. `token` and `access_token` are the same: OAuth2 clients read the second.
#[derive(Serialize)]
struct TokenResponse<'t> {
    token: &'t str,
    access_token: &'t str,
    expires_in: u64,
    issued_at: String,
}

/// `GET /jwt/auth`. A POST gets 405: its scopes are in the body, where the edge cannot read them.
/// Clients that try POST first (containerd) then retry with GET.
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let response = match method {
        Method::GET => grant(&app, uri.query().unwrap_or_default(), &headers).await,
        _ => Err(Error::MethodNotAllowed("GET")),
    };
    response.unwrap_or_else(|error| error.into_response(&app.challenge))
}

/// The public keys that verify this Cell's tokens.
pub(super) async fn jwks(State(app): State<Arc<App>>) -> Response {
    Json(app.auth.jwks()).into_response()
}

async fn grant(app: &App, query: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let service = requested_service(query)?;
    let scopes: Vec<_> = query::values(query, "scope").collect();
    let scopes = parse_scopes(scopes.iter().map(AsRef::as_ref));
    if scopes.len() > MAX_SCOPES {
        return Err(Error::TooManyScopes(MAX_SCOPES));
    }
    let repositories = scopes.into_iter().filter(Scope::is_repository);
    let (identity, access) = match service {
        Service::DependencyProxy => (Some(app.auth.log_in(headers).await?), pulls(repositories)),
        Service::ContainerRegistry => {
            let identity = app.auth.log_in_optional(headers).await?;
            let access = allowed(app, identity.as_ref(), repositories).await?;
            (identity, access)
        }
    };
    let issued = app.auth.issue(service, identity.as_ref(), access)?;
    let mut response = Json(token_response(&issued)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns the service the query names, once or repeatedly; the dependency proxy by default.
fn requested_service(query: &str) -> Result<Service, Error> {
    let mut services = query::values(query, "service")
        .map(|name| name.parse().map_err(|_| Error::UnknownService(name.into_owned())));
    let first = services.next().unwrap_or(Ok(Service::DependencyProxy))?;
    services.try_fold(
        first,
        |first, other| {
            if other? == first { Ok(first) } else { Err(Error::SeveralServices) }
        },
    )
}

/// The requested pulls are recorded, not granted: membership is checked at each pull, so that a
/// removed member loses access long before the token expires.
fn pulls(repositories: impl Iterator<Item = Scope>) -> Vec<AccessEntry> {
    repositories
        .filter(|scope| scope.actions.iter().any(|action| action == "pull"))
        .map(|scope| AccessEntry::repository(scope.name, vec!["pull".to_owned()]))
        .collect()
}

/// Returns what is granted of the request. The container registry relies on the token alone.
async fn allowed(
    app: &App,
    identity: Option<&Identity>,
    repositories: impl Iterator<Item = Scope>,
) -> Result<Vec<AccessEntry>, Error> {
    let user = identity.map(|identity| identity.user);
    let mut entries = Vec::new();
    for scope in repositories {
        let Ok(name) = scope.name.parse() else { continue };
        let access = app.db.access_to_repository(&name, user).await?;
        let actions = access::allowed_actions(access, &scope.actions);
        if !actions.is_empty() {
            entries.push(AccessEntry::repository(scope.name, actions));
        }
    }
    Ok(entries)
}

fn token_response(issued: &Issued) -> TokenResponse<'_> {
    TokenResponse {
        token: issued.token.expose_secret(),
        access_token: issued.token.expose_secret(),
        expires_in: issued.expires_in,
        issued_at: rfc3339(issued.issued_at),
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
