//! When a cached copy stands in for a failed fetch.

use super::error::FetchError;
use crate::config::{self, WhenRefused};
use crate::upstream::FailureClass;

/// Returns whether a cached copy may be served, marked stale, in place of this failure.
pub(super) fn may_serve_stale(rules: &config::Cache, error: &FetchError) -> bool {
    match error {
        FetchError::Upstream(error) => match error.class() {
            FailureClass::Outage => true,
            FailureClass::Absent => rules.when_absent() == WhenRefused::ServeStale,
            FailureClass::Refused => rules.when_refused == WhenRefused::ServeStale,
        },
        // A stale copy would hide the bug.
        FetchError::Internal => false,
    }
}
