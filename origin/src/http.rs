//! Requests in, responses out: parse → authenticate → authorize → dispatch.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{any, get};
use oci::{Accept, ByteRange, Page, Reference, query};

use crate::App;
use crate::cache::CacheStatus;
use crate::cache::blob::{BlobRequest, BlobResponse};
use crate::cache::listing::ListingRequest;
use crate::cache::manifest::ManifestRequest;
use crate::db::groups::GroupId;
use crate::error::Error;
use crate::upstream::Image;

use action::{Action, Target};

pub(crate) use reply::X_CACHE;

pub mod action;
pub(crate) mod health;
mod reply;
mod token;

/// All paths of an origin.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/jwt/auth", any(token::issue))
        .route("/oauth/discovery/keys", get(token::jwks))
        .fallback(registry)
        .with_state(Arc::clone(&app))
        .merge(health::router(app))
}

async fn registry(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let reply = answer(&app, &parts.method, &parts.uri, &parts.headers).await;
    reply.unwrap_or_else(|error| error.into_response(&app.challenge))
}

/// The whole pipeline; an unknown path is refused before anybody is asked who they are.
async fn answer(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let action = Action::parse(method, uri.path())?;
    let identity = app.auth.identify(headers).await?;
    let Action::Pull { group, image, target } = action else { return Ok(reply::pong()) };
    let group = app.gate.admit(group, identity.user).await?;
    let namespace = query::values(uri.query().unwrap_or_default(), "ns").next();
    let image = app.upstreams.image(&image, namespace.as_deref())?;
    let pull = Pull { group, image: image.clone(), target, body: method != Method::HEAD };
    let mut response = dispatch(app, pull, uri, headers).await?;
    image.add_namespace(response.headers_mut());
    Ok(response)
}

/// A pull that was authorised.
struct Pull {
    group: GroupId,
    image: Image,
    target: Target,
    body: bool,
}

async fn dispatch(
    app: &App,
    pull: Pull,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let Pull { group, ref image, ref target, body } = pull;
    match target {
        Target::Manifest(reference) => {
            let accept = accept(reference, headers);
            let request = ManifestRequest { group, image, accept: &accept, body };
            let manifest = app.manifests.open(request, reference).await?;
            app.metrics.answered("manifest", manifest.status.label());
            let mut response = reply::manifest(manifest, headers);
            image.add_rate_limit(response.headers_mut());
            Ok(response)
        }
        Target::Blob(digest) if body => {
            let range = headers.get("range").and_then(|range| range.to_str().ok());
            let request = BlobRequest { group, image, digest };
            match app.blobs.open(request, range.and_then(ByteRange::parse)).await? {
                BlobResponse::Redirect(url) => {
                    app.metrics.answered("blob", CacheStatus::Hit.label());
                    Ok(reply::redirect(digest, &url))
                }
                BlobResponse::Body(blob) => {
                    app.metrics.answered("blob", blob.status.label());
                    Ok(reply::blob(digest, blob))
                }
            }
        }
        Target::Blob(digest) => {
            let head = app.blobs.head(BlobRequest { group, image, digest }).await?;
            app.metrics.answered("blob", head.status.label());
            Ok(reply::blob_head(digest, head))
        }
        Target::Tags => {
            let page = Page::parse(uri.query().unwrap_or_default())?;
            let (list, status) = app.listings.tags(ListingRequest { group, image }, &page).await?;
            app.metrics.answered("tags", status.label());
            Ok(reply::tags(Action::repository(uri.path()), &list, status))
        }
        Target::Referrers(subject) => {
            let request = ListingRequest { group, image };
            let (found, status) = app.listings.referrers(request, subject).await?;
            app.metrics.answered("referrers", status.label());
            let query = uri.query().unwrap_or_default();
            let kind = oci::query::values(query, "artifactType").next();
            Ok(reply::referrers(found, kind.as_deref(), status))
        }
    }
}

/// Only a tag's answer depends on it, so only then it is read.
fn accept(reference: &Reference, headers: &HeaderMap) -> Accept {
    match reference {
        Reference::Tag(_) => {
            let lines = headers.get_all(ACCEPT).iter();
            Accept::parse(lines.filter_map(|line| line.to_str().ok()))
        }
        Reference::Digest(_) => Accept::any(),
    }
}
