//! Its manifests.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use oci::{Digest, Reference};

use super::blob::paced;
use super::{Context, FaultRegistry, Faults, lock, spoil};
use crate::image::Manifest;

/// What of a request for a manifest matters.
pub(super) struct Asked<'r> {
    pub(super) path: &'r str,
    pub(super) accept: Option<&'r str>,
    pub(super) head: bool,
}

impl FaultRegistry {
    /// Puts one manifest on the shelf, by its digest of SHA-256 and by this reference.
    pub fn add_manifest(&self, repository: &str, reference: &str, manifest: &Manifest) {
        let mut shelf = lock(&self.shelf);
        for reference in [reference, &manifest.digest().to_string()] {
            shelf.manifests.insert(format!("{repository}/manifests/{reference}"), manifest.clone());
        }
    }

    /// Puts bytes on the shelf under a digest of any algorithm.
    pub fn add_blob(&self, repository: &str, digest: &Digest, bytes: &[u8]) {
        let path = format!("{repository}/blobs/{digest}");
        lock(&self.shelf).blobs.insert(path, Bytes::copy_from_slice(bytes));
    }

    /// What a tag is for those who do not take what it is for others, but this.
    pub fn add_narrow(&self, repository: &str, tag: &str, manifest: &Manifest) {
        let mut shelf = lock(&self.shelf);
        let by_digest = format!("{repository}/manifests/{}", manifest.digest());
        shelf.manifests.insert(by_digest, manifest.clone());
        shelf.narrow.insert(format!("{repository}/manifests/{tag}"), manifest.clone());
    }
}

pub(super) fn manifest(
    context: &Context,
    asked: &Asked<'_>,
    reference: &Reference,
    faults: &Faults,
) -> Response {
    let Some(found) = chosen(context, asked) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(_) => found.digest(),
    };
    let body = Bytes::from(spoil(found.bytes, faults));
    let slow = faults.drip.is_some() && !asked.head;
    let body = if slow { paced(context, body, faults) } else { Body::from(body) };
    let described = [("content-type", found.media_type)].into_response();
    let mut response = (described.into_parts().0.headers, body).into_response();
    if faults.without_type {
        response.headers_mut().remove("content-type");
    }
    if !(asked.head && faults.without_digest)
        && let Ok(value) = digest.to_string().parse()
    {
        response.headers_mut().insert("docker-content-digest", value);
    }
    response
}

fn chosen(context: &Context, asked: &Asked<'_>) -> Option<Manifest> {
    let shelf = lock(&context.shelf);
    let taken =
        |found: &&Manifest| asked.accept.is_none_or(|accept| accept.contains(&found.media_type));
    let found = shelf.manifests.get(asked.path)?;
    let narrow = shelf.narrow.get(asked.path).filter(taken).filter(|_| !taken(&found));
    Some(narrow.unwrap_or(found).clone())
}
