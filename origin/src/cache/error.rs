//! How the cache fails: for one request, and for a fetch that several requests share.

use crate::db::DbError;
use crate::store::StoreError;
use crate::upstream::UpstreamError;

/// What a failed upstream request was for; it selects the registry's error code for a 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
    /// A list of an image's tags or referrers.
    Image,
}

/// Why the cache cannot serve a request.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The range starts beyond the end of a blob of this length.
    #[error("the range starts beyond the blob's {0} bytes")]
    RangeNotSatisfiable(u64),
    /// The upstream failed or refused, and no cached copy may be served instead.
    #[error("{1}")]
    Upstream(Subject, UpstreamError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug: a shared fetch panicked.
    #[error("a shared fetch ended without a result; see the panic in the log")]
    Internal,
}

/// Why a shared fetch failed. Every request that waits for the fetch gets a copy.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum FetchError {
    /// The upstream failed or refused.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The task of the fetch panicked. Reported apart from an outage, because a stale copy would
    /// hide the bug.
    #[error("the shared fetch ended without a result")]
    Internal,
}

impl FetchError {
    /// Turns the failure of a fetch into the failure of one request for `subject`.
    pub(super) fn about(self, subject: Subject) -> CacheError {
        match self {
            Self::Upstream(error) => CacheError::Upstream(subject, error),
            Self::Internal => CacheError::Internal,
        }
    }
}
