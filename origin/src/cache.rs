//! The pull-through decision: what is served from here, what is fetched, what a failure means.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::{self, WhenRefused};
use crate::upstream::{FailureClass, UpstreamError};

pub mod blob;
pub mod catalog;
mod coalesce;
mod flight;
pub mod manifest;
pub mod warm;

/// Where an answer came from; the `x-cache` header and the log field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the cache, which is known to be right.
    Hit,
    /// From the upstream, stored on its way.
    Miss,
    /// From a fetch that another client's request had started.
    Coalesced,
    /// From the cache, while the upstream could not be asked.
    Stale,
}

impl CacheStatus {
    /// The header's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Coalesced => "COALESCED",
            Self::Stale => "STALE",
        }
    }

    /// The metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "shared",
            Self::Stale => "stale",
        }
    }
}

/// A holder of the cache's locks only moves values, so what a panicking one left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an answer of before is served in place of this failure.
fn tolerates(rules: &config::Cache, error: &UpstreamError) -> bool {
    match error.class() {
        FailureClass::Outage => true,
        FailureClass::Absent => rules.when_absent() == WhenRefused::ServeStale,
        FailureClass::Refused => rules.when_refused == WhenRefused::ServeStale,
    }
}
