//! `[cache]`: when an origin answers from the cache.

use serde::Deserialize;

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// What a cached tag is worth when the upstream answers 401, 403 or 404 for it.
    pub when_refused: WhenRefused,
}

/// See [`Cache::when_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenRefused {
    /// The client sees the refusal.
    Honest,
    /// The client gets the cached copy, marked stale.
    ServeStale,
}

impl Default for Cache {
    fn default() -> Self {
        Self { when_refused: WhenRefused::Honest }
    }
}
