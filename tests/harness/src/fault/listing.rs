//! Lists of tags and referrers.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use oci::media_type::OCI_INDEX;
use oci::{Digest, Page};
use serde_json::{Value, json};

use super::{Context, Faults, lock};
use crate::image::Manifest;

/// The longest page of tags a client may request.
const MAX_PAGE: u32 = 1000;

/// Lists tags in order and in pages, as the distribution specification requires.
pub(super) fn tags(context: &Context, repository: &str, query: &str, faults: &Faults) -> Response {
    let page = Page::parse(query).ok().filter(|page| page.n.is_none_or(|n| n <= MAX_PAGE));
    let Some(page) = page else { return StatusCode::BAD_REQUEST.into_response() };
    let prefix = format!("{repository}/manifests/");
    let mut tags: Vec<_> = {
        let contents = lock(&context.contents);
        let references = contents.manifests.keys().filter_map(|path| path.strip_prefix(&prefix));
        references.filter(|reference| !reference.contains(':')).map(str::to_owned).collect()
    };
    if tags.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    tags.sort();
    if faults.without_pages {
        return json!({"name": repository, "tags": tags}).to_string().into_response();
    }
    tags.retain(|tag| page.last.as_ref().is_none_or(|last| tag > last));
    let limit = page.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(tags.len());
    let more = tags.len() > limit;
    tags.truncate(limit);
    let next = Page { last: tags.last().cloned(), ..page };
    let body = json!({"name": repository, "tags": tags}).to_string();
    if more {
        let link = format!("</v2/{repository}/tags/list?{next}>; rel=\"next\"");
        return ([("link", link)], body).into_response();
    }
    body.into_response()
}

/// Lists all referrers, without filtering by artifact type.
pub(super) fn referrers(context: &Context, repository: &str, subject: &Digest) -> Response {
    let prefix = format!("{repository}/manifests/sha256:");
    let contents = lock(&context.contents);
    let of_image = contents.manifests.iter().filter(|(path, _)| path.starts_with(&prefix));
    let found: Vec<_> =
        of_image.filter_map(|(_, manifest)| descriptor(manifest, subject)).collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found});
    ([("content-type", OCI_INDEX)], index.to_string()).into_response()
}

/// The descriptor of a manifest in the list of its subject's referrers.
fn descriptor(manifest: &Manifest, subject: &Digest) -> Option<Value> {
    let body: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    let refers = body.pointer("/subject/digest")?.as_str() == Some(&subject.to_string());
    let kind = body.get("artifactType").or_else(|| body.pointer("/config/mediaType"));
    refers.then(|| {
        json!({
            "mediaType": manifest.media_type, "digest": manifest.digest(),
            "size": manifest.bytes.len(), "artifactType": kind,
            "annotations": body.get("annotations"),
        })
    })
}
