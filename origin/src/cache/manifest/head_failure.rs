//! Whether a GET is worth trying after a failed HEAD.

use crate::cache::error::FetchError;
use crate::upstream::UpstreamError;

/// Returns whether the failure may concern HEAD as a method and say nothing about the manifest.
///
/// This includes more failures than for blobs. A blob's bytes are shared between groups, so its
/// HEAD decides access; a manifest is fetched per image and only the response to that GET is
/// served, so trying it after a 403 gives nothing away.
pub(super) fn may_concern_head_only(error: &FetchError) -> bool {
    let FetchError::Upstream(error) = error else { return false };
    let odd =
        matches!(error, UpstreamError::Status { status: 403, .. } | UpstreamError::Protocol(_));
    odd || error.is_about_head()
}

/// Returns whether a GET may succeed although the HEAD failed. It is not tried if the upstream cannot
/// be reached or asked us to slow down.
pub(super) fn get_may_succeed(error: &FetchError) -> bool {
    may_concern_head_only(error)
        || matches!(error, FetchError::Upstream(UpstreamError::Status { status: 500..=599, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> FetchError {
        UpstreamError::Status { status, retry_after: None }.into()
    }

    #[test]
    fn only_a_failure_of_head_itself_is_retried_by_get() {
        for rejected in [400, 403, 405, 501] {
            assert!(may_concern_head_only(&status(rejected)), "{rejected}");
        }
        for definite in [401, 404, 429, 500, 503] {
            assert!(!may_concern_head_only(&status(definite)), "{definite}");
        }
        assert!(!get_may_succeed(&UpstreamError::Timeout.into()));
        assert!(!get_may_succeed(&FetchError::Internal));
    }
}
