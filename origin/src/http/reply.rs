//! Successful responses, and the headers that clients rely on.

use std::io;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, LINK, LOCATION, WARNING,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use oci::Digest;
use oci::media_type::{OCI_INDEX, OCTET_STREAM};
use serde_json::{Value, json};
use url::Url;

use super::error::API_VERSION;
use crate::body::ResponseBody;
use crate::cache::CacheStatus;
use crate::cache::blob::{BlobHead, OpenBlob};
use crate::cache::listing::TagList;
use crate::cache::manifest::OpenManifest;

/// Where the content came from; see [`CacheStatus`].
pub(crate) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The response to `GET /v2/` with a valid login.
pub(super) fn ping() -> Response {
    let mut response = Response::new(Body::from("{}"));
    set(response.headers_mut(), CONTENT_TYPE, "application/json");
    set(response.headers_mut(), API_VERSION, "registry/2.0");
    response
}

/// A manifest or its headers; 304 if `If-None-Match` names its digest (RFC 9110 §13.1.2).
pub(super) fn manifest(manifest: OpenManifest, request: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    describe(headers, &manifest.digest, manifest.status);
    set(headers, CONTENT_TYPE, &manifest.media_type);
    add_warning(headers, manifest.status);
    if client_has(request, &manifest.digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_LENGTH, manifest.size.into());
    if let Some(bytes) = manifest.bytes {
        *response.body_mut() = Body::from(bytes);
    }
    response
}

/// A page of the tag list, under the name the client uses (OCI distribution spec, "Listing Tags").
pub(super) fn tags(name: &str, list: &TagList, status: CacheStatus) -> Response {
    let body = json!({"name": name, "tags": list.tags});
    let mut response = listing(&body, "application/json", status);
    if let Some(next) = &list.next {
        let next = format!("</v2/{name}/tags/list?{next}>; rel=\"next\"");
        set(response.headers_mut(), LINK, &next);
    }
    response
}

/// The manifests that refer to another, as an index (OCI distribution spec, "Listing Referrers").
pub(super) fn referrers(
    mut manifests: Vec<Value>,
    artifact_type: Option<&str>,
    status: CacheStatus,
) -> Response {
    if let Some(wanted) = artifact_type {
        manifests.retain(|one| one.get("artifactType").is_some_and(|kind| kind == wanted));
    }
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let mut response = listing(&body, OCI_INDEX, status);
    if artifact_type.is_some() {
        set(response.headers_mut(), FILTERS_APPLIED, "artifactType");
    }
    response
}

fn listing(body: &Value, media_type: &str, status: CacheStatus) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, media_type);
    set(headers, API_VERSION, "registry/2.0");
    set(headers, X_CACHE, status.as_str());
    add_warning(headers, status);
    response
}

/// RFC 7234 §5.5.1. RFC 9111 made the header obsolete, but clients still show it.
fn add_warning(headers: &mut HeaderMap, status: CacheStatus) {
    if status == CacheStatus::Stale {
        set(headers, WARNING, "110 - \"Response is Stale\"");
    }
}

/// A blob or a range of it, streamed.
pub(super) fn blob(digest: &Digest, blob: OpenBlob) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Pieces(blob.body));
    let headers = response.headers_mut();
    describe_blob(headers, digest, blob.status);
    match (blob.range, blob.length) {
        (Some(range), length) => {
            let (first, last) = range.into_inner();
            headers.insert(CONTENT_LENGTH, (last - first + 1).into());
            let total = length.map_or_else(|| "*".to_owned(), |length| length.to_string());
            set(headers, CONTENT_RANGE, &format!("bytes {first}-{last}/{total}"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        (None, Some(length)) => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        (None, None) => {}
    }
    response
}

/// A redirect to the object store. The URL is signed for this client and expires soon, so it must not
/// be cached.
pub(super) fn redirect(digest: &Digest, location: &Url) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    describe(headers, digest, CacheStatus::Hit);
    set(headers, LOCATION, location.as_str());
    set(headers, CACHE_CONTROL, "no-store");
    response
}

/// A blob's headers.
pub(super) fn blob_head(digest: &Digest, head: BlobHead) -> Response {
    // For a body that is known to be empty the server would send `Content-Length: 0`.
    let unknown = || Body::from_stream(stream::empty::<io::Result<Bytes>>());
    let mut response = Response::new(head.length.map_or_else(unknown, |_| Body::empty()));
    let headers = response.headers_mut();
    describe_blob(headers, digest, head.status);
    if let Some(length) = head.length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}

fn describe_blob(headers: &mut HeaderMap, digest: &Digest, status: CacheStatus) {
    describe(headers, digest, status);
    set(headers, CONTENT_TYPE, OCTET_STREAM);
    set(headers, ACCEPT_RANGES, "bytes");
    // Private: a shared cache does not know which groups may see the blob.
    set(headers, CACHE_CONTROL, "private, max-age=31536000, immutable");
}

fn describe(headers: &mut HeaderMap, digest: &Digest, status: CacheStatus) {
    let digest = digest.to_string();
    set(headers, API_VERSION, "registry/2.0");
    set(headers, DIGEST, &digest);
    set(headers, ETAG, &format!("\"{digest}\""));
    set(headers, X_CACHE, status.as_str());
}

/// Whether `If-None-Match` lists the digest. Like CNCF distribution, this accepts it without quotes.
fn client_has(request: &HeaderMap, digest: &Digest) -> bool {
    let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let ours = digest.to_string();
    tags.flat_map(|tags| tags.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == ours)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
