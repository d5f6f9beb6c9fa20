//! The HTTP API: parses a request, authenticates it, authorises it, and dispatches it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{any, get};
use oci::query;

use crate::app::App;

use action::Action;
use dispatch::Pull;
use error::Error;

pub(crate) use reply::X_CACHE;

pub mod action;
mod dispatch;
pub(crate) mod error;
pub(crate) mod health;
mod reply;
mod token;

/// Routes all paths of an origin.
pub fn router(app: Arc<App>) -> Router {
    let health = health::router(Arc::clone(&app.health));
    Router::new()
        .route("/jwt/auth", any(token::issue))
        .route("/oauth/discovery/keys", get(token::jwks))
        .fallback(registry)
        .with_state(app)
        .merge(health)
}

async fn registry(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let response = respond(&app, &parts.method, &parts.uri, &parts.headers).await;
    response.unwrap_or_else(|error| error.into_response(&app.challenge))
}

/// An unknown path is refused before the client must log in.
async fn respond(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let action = Action::parse(method, uri.path())?;
    let identity = app.auth.identify(headers).await?;
    let Action::Pull { group, image, target } = action else { return Ok(reply::ping()) };
    let group = app.access.authorize(group, identity.user).await?;
    let namespace = query::values(uri.query().unwrap_or_default(), "ns").next();
    let image = app.upstreams.image(&image, namespace.as_deref())?;
    let pull = Pull { group, image: image.clone(), target, body: method != Method::HEAD };
    let mut response = dispatch::pull(app, pull, uri, headers).await?;
    image.add_namespace(response.headers_mut());
    Ok(response)
}
