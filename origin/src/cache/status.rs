//! Where a response came from.

/// The source of a response: the `x-cache` header and the log field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the cache, known to be current.
    Hit,
    /// From the upstream, stored on the way.
    Miss,
    /// From a fetch that another request of the same group had started.
    Shared,
    /// From the cache without a check, because the upstream failed.
    Stale,
}

impl CacheStatus {
    /// Returns the value of the `x-cache` header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Shared => "COALESCED",
            Self::Stale => "STALE",
        }
    }

    /// Returns the value of the metric label `cache`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Shared => "shared",
            Self::Stale => "stale",
        }
    }
}
