//! Its blobs.

use std::io;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;

use super::{Context, Faults, lock, spoil};

pub(super) fn blob(context: &Context, path: &str, faults: &Faults) -> Response {
    if let Some(elsewhere) = &faults.redirect_blobs_to {
        let location = format!("{elsewhere}/v2/{path}");
        return (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response();
    }
    let Some(found) = lock(&context.shelf).blobs.get(path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let length = found.len();
    let bytes = Bytes::from(spoil(found.to_vec(), faults));
    let mut response = Response::new(blob_body(context, &bytes, faults));
    if !faults.without_length {
        response.headers_mut().insert("content-length", length.into());
    }
    response
}

/// Two parts with a fault between them, if there is one.
fn blob_body(context: &Context, bytes: &Bytes, faults: &Faults) -> Body {
    let middle = faults.cut_blobs_at.or(faults.hold_blobs_at).unwrap_or(bytes.len());
    let first = bytes.slice(..middle.min(bytes.len()));
    let rest = bytes.slice(first.len()..);
    let cut = faults.cut_blobs_at.is_some();
    let held = faults.hold_blobs_at.is_some();
    let mut released = context.released.clone();
    released.mark_unchanged();
    let parts = stream::unfold(0, move |step| {
        let (first, rest, mut released) = (first.clone(), rest.clone(), released.clone());
        async move {
            match step {
                0 => Some((Ok(first), 1)),
                1 if cut => Some((Err(io::Error::other("cut")), 2)),
                1 => {
                    if held {
                        let _ = released.changed().await;
                    }
                    Some((Ok(rest), 2))
                }
                _ => None,
            }
        }
    });
    Body::from_stream(parts)
}
