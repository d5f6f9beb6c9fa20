//! `[cache]`: when an origin answers from the cache.

use std::time::Duration;

use bytesize::ByteSize;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// What a cached answer is worth when the upstream answers 401 or 403 in its place.
    pub when_refused: WhenRefused,
    /// The same for 404; missing: as for 401 and 403.
    pub when_absent: Option<WhenRefused>,
    /// How long a checked tag is served without asking the upstream again.
    #[serde(with = "humantime_serde")]
    pub recheck_interval: Duration,
    /// Tags that never move: once cached, they are not checked again.
    pub immutable_tags: TagPatterns,
    /// How often it is written when links were last read; missing: every minute.
    #[serde(with = "humantime_serde")]
    pub read_times_interval: Option<Duration>,
    /// What warm manifests and the lengths of blobs may take in memory.
    pub memory: ByteSize,
    /// How long a row may be gone before what it allowed is no longer served from memory.
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
    /// What a cached answer is worth when the upstream answers 404 in its place.
    #[must_use]
    pub fn when_absent(&self) -> WhenRefused {
        self.when_absent.unwrap_or(self.when_refused)
    }

    /// How often it is written when links were last read.
    #[must_use]
    pub fn read_times_interval(&self) -> Duration {
        self.read_times_interval.unwrap_or(Duration::from_secs(60))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.read_times_interval() >= Duration::from_millis(100),
            "[cache] read_times_interval: at least 100ms"
        );
        Ok(())
    }
}

/// See [`Cache::when_refused`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenRefused {
    /// The client sees the refusal.
    #[default]
    Honest,
    /// The client gets the cached copy, marked stale.
    ServeStale,
}

/// Shell patterns of tags: `*`, `?`, `[…]` and `{…,…}`, case-sensitive, of the whole tag.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct TagPatterns(GlobSet);

impl TagPatterns {
    /// Whether a tag matches one of them.
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
    fn patterns_are_of_whole_tags_and_case_sensitive() {
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
