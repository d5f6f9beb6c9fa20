//! The HTTP API: parses a request, authenticates it, authorises it, and dispatches it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use axum::routing::{any, get};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use oci::query;

use crate::app::App;
use crate::body::ResponseBody;

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

/// Handles one request.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<ResponseBody>> + Send + Sync>;

/// Returns the handler of all paths of an origin.
///
/// The registry API, which is below `/v2`, does not pass through axum: its body type would hide the
/// files that a blob is sent from.
pub(crate) fn handler(app: Arc<App>) -> Handler {
    let router = TowerToHyperService::new(router(Arc::clone(&app)));
    Arc::new(move |request| {
        if request.uri().path().starts_with("/v2") {
            return registry(Arc::clone(&app), request).boxed();
        }
        let routed = router.call(request);
        async move { routed.await.unwrap_or_else(|never| match never {}).map(ResponseBody::Stream) }
            .boxed()
    })
}

fn router(app: Arc<App>) -> Router {
    let health = health::router(Arc::clone(&app.health));
    Router::new()
        .route("/jwt/auth", any(token::issue))
        .route("/oauth/discovery/keys", get(token::jwks))
        .fallback(unknown)
        .with_state(app)
        .merge(health)
}

async fn unknown(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    registry(app, request).await.map(ResponseBody::into_stream)
}

async fn registry<B>(app: Arc<App>, request: Request<B>) -> Response<ResponseBody> {
    let (parts, _) = request.into_parts();
    let response = respond(&app, &parts.method, &parts.uri, &parts.headers).await;
    response.unwrap_or_else(|error| error.into_response(&app.challenge).map(ResponseBody::Stream))
}

/// An unknown path is refused before the client must log in.
async fn respond(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, Error> {
    let action = Action::parse(method, uri.path())?;
    let identity = app.auth.identify(headers).await?;
    let Action::Pull { group, image, target } = action else {
        return Ok(reply::ping().map(ResponseBody::Stream));
    };
    let group = app.access.authorize(group, identity.user).await?;
    let namespace = query::values(uri.query().unwrap_or_default(), "ns").next();
    let image = app.upstreams.image(&image, namespace.as_deref())?;
    let pull = Pull { group, image: image.clone(), target, body: method != Method::HEAD };
    let mut response = dispatch::pull(app, pull, uri, headers).await?;
    image.add_namespace(response.headers_mut());
    Ok(response)
}
