//! Reading single response headers.

use reqwest::header::{CONTENT_LENGTH, HeaderMap};

/// Returns the header's first value if it is visible ASCII.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns `Content-Length` from the header, as the body of a HEAD response is always empty.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}
