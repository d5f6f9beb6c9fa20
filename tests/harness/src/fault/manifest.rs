//! Manifests.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use oci::{Digest, Reference};

use super::blob::paced;
use super::{Context, FaultRegistry, Faults, corrupted, lock};
use crate::image::Manifest;

/// A request for a manifest.
pub(super) struct ManifestRequest<'r> {
    pub(super) path: &'r str,
    pub(super) accept: Option<&'r str>,
    pub(super) head: bool,
}

impl FaultRegistry {
    /// Stores one manifest by its SHA-256 digest and by this reference.
    pub fn add_manifest(&self, repository: &str, reference: &str, manifest: &Manifest) {
        let mut contents = lock(&self.contents);
        for reference in [reference, &manifest.digest().to_string()] {
            contents
                .manifests
                .insert(format!("{repository}/manifests/{reference}"), manifest.clone());
        }
    }

    /// Stores a blob by a digest of any algorithm.
    pub fn add_blob(&self, repository: &str, digest: &Digest, bytes: &[u8]) {
        let path = format!("{repository}/blobs/{digest}");
        lock(&self.contents).blobs.insert(path, Bytes::copy_from_slice(bytes));
    }

    /// Sets the manifest that a tag is to clients which accept its type and not that of the tag's
    /// own.
    pub fn add_narrow(&self, repository: &str, tag: &str, manifest: &Manifest) {
        let mut contents = lock(&self.contents);
        let by_digest = format!("{repository}/manifests/{}", manifest.digest());
        contents.manifests.insert(by_digest, manifest.clone());
        contents.narrow.insert(format!("{repository}/manifests/{tag}"), manifest.clone());
    }
}

pub(super) fn manifest(
    context: &Context,
    request: &ManifestRequest<'_>,
    reference: &Reference,
    faults: &Faults,
) -> Response {
    let Some(found) = chosen(context, request) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(_) => found.digest(),
    };
    let body = Bytes::from(corrupted(found.bytes, faults));
    let slow = faults.drip.is_some() && !request.head;
    let body = if slow { paced(context, body, faults) } else { Body::from(body) };
    let described = [("content-type", found.media_type)].into_response();
    let mut response = (described.into_parts().0.headers, body).into_response();
    if faults.without_type {
        response.headers_mut().remove("content-type");
    }
    if !(request.head && faults.without_digest)
        && let Ok(value) = digest.to_string().parse()
    {
        response.headers_mut().insert("docker-content-digest", value);
    }
    response
}

fn chosen(context: &Context, request: &ManifestRequest<'_>) -> Option<Manifest> {
    let contents = lock(&context.contents);
    let accepted =
        |found: &&Manifest| request.accept.is_none_or(|accept| accept.contains(&found.media_type));
    let found = contents.manifests.get(request.path)?;
    let narrow = contents.narrow.get(request.path).filter(accepted);
    let narrow = narrow.filter(|_| !accepted(&found));
    Some(narrow.unwrap_or(found).clone())
}
