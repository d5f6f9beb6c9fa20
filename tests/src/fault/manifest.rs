//! Its manifests.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use oci::Reference;

use super::{Context, Faults, lock, spoil};

pub(super) fn manifest(
    context: &Context,
    path: &str,
    reference: &Reference,
    faults: &Faults,
    head: bool,
) -> Response {
    let Some(found) = lock(&context.shelf).manifests.get(path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(_) => found.digest(),
    };
    let body = spoil(found.bytes, faults);
    let described = [("content-type", found.media_type)].into_response();
    let mut response = (described.into_parts().0.headers, body).into_response();
    if !(head && faults.without_digest)
        && let Ok(value) = digest.to_string().parse()
    {
        response.headers_mut().insert("docker-content-digest", value);
    }
    response
}
