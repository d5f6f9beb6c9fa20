//! Carries an authorised pull out with the cache.

use axum::http::header::{ACCEPT, RANGE};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use oci::{Accept, ByteRange, Digest, Page, Reference, query};

use super::action::{Action, Target};
use super::error::Error;
use super::reply;
use crate::access::GroupId;
use crate::app::App;
use crate::body::ResponseBody;
use crate::cache::CacheStatus;
use crate::cache::blob::{BlobRequest, BlobResponse};
use crate::cache::listing::ListingRequest;
use crate::cache::manifest::ManifestRequest;
use crate::upstream::Image;

/// An authorised pull.
pub(super) struct Pull {
    /// The group that pulls.
    pub(super) group: GroupId,
    /// The image at its upstream.
    pub(super) image: Image,
    /// The part of the image.
    pub(super) target: Target,
    /// Whether the client wants the body (GET) or the headers only (HEAD).
    pub(super) body: bool,
}

/// Responds to a pull.
pub(super) async fn pull(
    app: &App,
    pull: Pull,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, Error> {
    let response = match &pull.target {
        Target::Blob(digest) if pull.body => return blob(app, &pull, digest, headers).await,
        Target::Blob(digest) => blob_head(app, &pull, digest).await?,
        Target::Manifest(reference) => manifest(app, &pull, reference, headers).await?,
        Target::Tags => tags(app, &pull, uri).await?,
        Target::Referrers(subject) => referrers(app, &pull, subject, uri).await?,
    };
    Ok(response.map(ResponseBody::Stream))
}

async fn manifest(
    app: &App,
    &Pull { group, ref image, body, .. }: &Pull,
    reference: &Reference,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let accept = accept(reference, headers);
    let request = ManifestRequest { group, image, accept: &accept, body };
    let manifest = app.manifests.open(request, reference).await?;
    app.metrics.answered("manifest", manifest.status.label());
    let mut response = reply::manifest(manifest, headers);
    image.add_rate_limit(response.headers_mut());
    Ok(response)
}

async fn blob(
    app: &App,
    &Pull { group, ref image, .. }: &Pull,
    digest: &Digest,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, Error> {
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let request = BlobRequest { group, image, digest };
    match app.blobs.open(request, range.and_then(ByteRange::parse)).await? {
        BlobResponse::Redirect(url) => {
            app.metrics.answered("blob", CacheStatus::Hit.label());
            Ok(reply::redirect(digest, &url).map(ResponseBody::Stream))
        }
        BlobResponse::Body(blob) => {
            app.metrics.answered("blob", blob.status.label());
            Ok(reply::blob(digest, blob))
        }
    }
}

async fn blob_head(
    app: &App,
    &Pull { group, ref image, .. }: &Pull,
    digest: &Digest,
) -> Result<Response, Error> {
    let head = app.blobs.head(BlobRequest { group, image, digest }).await?;
    app.metrics.answered("blob", head.status.label());
    Ok(reply::blob_head(digest, head))
}

async fn tags(
    app: &App,
    &Pull { group, ref image, .. }: &Pull,
    uri: &Uri,
) -> Result<Response, Error> {
    let page = Page::parse(uri.query().unwrap_or_default())?;
    let (list, status) = app.listings.tags(ListingRequest { group, image }, &page).await?;
    app.metrics.answered("tags", status.label());
    Ok(reply::tags(Action::repository(uri.path()), &list, status))
}

async fn referrers(
    app: &App,
    &Pull { group, ref image, .. }: &Pull,
    subject: &Digest,
    uri: &Uri,
) -> Result<Response, Error> {
    let request = ListingRequest { group, image };
    let (manifests, status) = app.listings.referrers(request, subject).await?;
    app.metrics.answered("referrers", status.label());
    let artifact_type = query::values(uri.query().unwrap_or_default(), "artifactType").next();
    Ok(reply::referrers(manifests, artifact_type.as_deref(), status))
}

/// Parses `Accept` only for a tag: the manifest of a digest does not depend on it.
fn accept(reference: &Reference, headers: &HeaderMap) -> Accept {
    match reference {
        Reference::Tag(_) => {
            let lines = headers.get_all(ACCEPT).iter();
            Accept::parse(lines.filter_map(|line| line.to_str().ok()))
        }
        Reference::Digest(_) => Accept::any(),
    }
}
