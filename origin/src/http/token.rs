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
use crate::auth::{AccessEntry, Identity, Issued, Service};
use crate::config::ExposeSecret as _;
use crate::error::Error;
use crate::policy;

/// Repositories one token may speak of; each costs a question to the database.
const MAX_SCOPES: usize = 100;

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
    let service = service_of(query)?;
    let asked: Vec<_> = query::values(query, "scope").collect();
    let scopes = parse_scopes(asked.iter().map(AsRef::as_ref));
    if scopes.len() > MAX_SCOPES {
        return Err(Error::TooManyScopes(MAX_SCOPES));
    }
    let repositories = scopes.into_iter().filter(Scope::is_repository);
    let (identity, access) = match service {
        Service::DependencyProxy => (Some(app.auth.log_in(headers).await?), pulls(repositories)),
        Service::ContainerRegistry => {
            let identity = app.auth.log_in_or_not(headers).await?;
            let access = allowed(app, identity.as_ref(), repositories).await?;
            (identity, access)
        }
    };
    let issued = app.auth.issue(service, identity.as_ref(), access)?;
    let mut response = Json(answer_of(&issued)).into_response();
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert("cache-control", no_store);
    Ok(response)
}

/// Named once, or repeated alike; the dependency proxy where none is.
fn service_of(query: &str) -> Result<Service, Error> {
    let mut services = query::values(query, "service")
        .map(|name| Service::named(&name).ok_or_else(|| Error::UnknownService(name.into_owned())));
    let first = services.next().unwrap_or(Ok(Service::DependencyProxy))?;
    services.try_fold(
        first,
        |first, other| {
            if other? == first { Ok(first) } else { Err(Error::SeveralServices) }
        },
    )
}

/// What is asked is noted, not granted: membership is checked at pulls, so that it ends long before
/// the token does.
fn pulls(repositories: impl Iterator<Item = Scope>) -> Vec<AccessEntry> {
    repositories
        .filter(|scope| scope.actions.iter().any(|action| action == "pull"))
        .map(|scope| AccessEntry::repository(scope.name, vec!["pull".to_owned()]))
        .collect()
}

/// What is granted, and nothing of what is not: the registry asks nobody else.
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
        let actions = policy::allowed(access, &scope.actions);
        if !actions.is_empty() {
            entries.push(AccessEntry::repository(scope.name, actions));
        }
    }
    Ok(entries)
}

fn answer_of(issued: &Issued) -> TokenAnswer<'_> {
    TokenAnswer {
        token: issued.token.expose_secret(),
        access_token: issued.token.expose_secret(),
        expires_in: issued.expires_in,
        issued_at: rfc3339(issued.issued_at),
    }
}

fn rfc3339(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
