//! `[cache]`: when an origin serves from the cache.

use std::time::Duration;

use bytesize::ByteSize;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// What a client receives if the upstream responds with 401 or 403 and a cached copy exists.
    pub when_refused: WhenRefused,
    /// The same for 404; defaults to [`Cache::when_refused`].
    pub when_absent: Option<WhenRefused>,
    /// How long a tag is fresh after the upstream confirmed it. Zero revalidates it on every pull.
    #[serde(with = "humantime_serde")]
    pub recheck_interval: Duration,
    /// The tags that never move. Once cached, they are not revalidated.
    pub immutable_tags: TagPatterns,
    /// How often read times are written to the database; defaults to one minute.
    #[serde(with = "humantime_serde")]
    pub read_times_interval: Option<Duration>,
    /// The size limit of the memory cache, which holds manifests and the lengths of blobs.
    pub memory: ByteSize,
    /// The lifetime of an entry of the memory cache: how long a removed row may still be served.
    #[serde(with = "humantime_serde")]
    pub memory_life: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            when_refused: WhenRefused::Honest,
            when_absent: None,
            recheck_interval: Duration::ZERO,
            immutable_tags: TagPatterns::default(),
            read_times_interval: None,
            memory: ByteSize::mib(64),
            memory_life: Duration::from_secs(30),
        }
    }
}

impl Cache {
    /// Returns what a client receives if the upstream responds with 404 and a cached copy exists.
    #[must_use]
    pub fn when_absent(&self) -> WhenRefused {
        self.when_absent.unwrap_or(self.when_refused)
    }

    /// Returns how often read times are written to the database.
    #[must_use]
    pub fn read_times_interval(&self) -> Duration {
        self.read_times_interval.unwrap_or(Duration::from_secs(60))
    }

    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.read_times_interval() >= Duration::from_millis(100),
            "[cache] read_times_interval: must be at least 100ms"
        );
        Ok(())
    }
}

/// What a client receives instead of an upstream's refusal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenRefused {
    /// The refusal of the upstream.
    #[default]
    Honest,
    /// The cached copy, marked as stale.
    ServeStale,
}

/// Shell patterns (`*`, `?`, `[…]`, `{…,…}`) that match whole tags, case-sensitively.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct TagPatterns(GlobSet);

impl TagPatterns {
    /// Returns whether a tag matches one of the patterns.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        self.0.is_match(tag)
    }
}

impl TryFrom<Vec<String>> for TagPatterns {
    type Error = globset::Error;

    fn try_from(patterns: Vec<String>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            set.add(Glob::new(pattern)?);
        }
        Ok(Self(set.build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_tags_case_sensitively() {
        let patterns = ["v*.*.*", "[0-9]*-{alpine,slim}"].map(str::to_owned).to_vec();
        let patterns = TagPatterns::try_from(patterns).unwrap();
        for tag in ["v1.2.3", "v1.2.3-rc1", "3-slim"] {
            assert!(patterns.matches(tag), "{tag}");
        }
        for tag in ["V1.2.3", "v1.2", "latest", "xv1.2.3", "slim"] {
            assert!(!patterns.matches(tag), "{tag}");
        }
        assert!(!TagPatterns::default().matches(""));
    }
}
