//! `[store]`: where bytes live.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use serde::Deserialize;
use url::Url;

use super::Secret;

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///absolute/folder`, `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix`, or `memory:` for tests.
    pub url: Url,
    /// A folder on a local disk where blobs grow until they are complete.
    pub spool: PathBuf,
    /// How many bytes may lie in the spool; what does not fit is streamed uncached.
    pub spool_limit: Option<ByteSize>,
    /// What a bucket needs beyond its URL, by the names of `object_store`.
    #[serde(default)]
    pub options: BTreeMap<String, Setting>,
    /// Bytes of a part where a blob is sent to a bucket in parts.
    #[serde(default = "default_part_size")]
    pub part_size: ByteSize,
    /// Clients fetch blobs from the bucket itself.
    #[serde(default)]
    pub redirect: bool,
    /// How long the URL they get is good.
    #[serde(default = "default_redirect_life", with = "humantime_serde")]
    pub redirect_life: Duration,
    /// How often objects without a row are removed; zero: never.
    #[serde(default = "hour", with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// How old they are by then; longer than any fill takes to write the row to its object.
    #[serde(default = "hour", with = "humantime_serde")]
    pub orphan_grace: Duration,
}

/// A value of `[store.options]`; it may be a key, so it never shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Value")]
pub struct Setting(Secret);

impl Setting {
    /// The value as text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Switch(bool),
    Number(i64),
}

impl From<Value> for Setting {
    fn from(value: Value) -> Self {
        Self(Secret::new(match value {
            Value::Text(text) => text,
            Value::Switch(on) => on.to_string(),
            Value::Number(number) => number.to_string(),
        }))
    }
}

/// What S3 takes at least, but for the last part.
const MIN_PART: ByteSize = ByteSize::mib(5);
/// Four parts a blob are in memory at once.
const MAX_PART: ByteSize = ByteSize::gib(1);
/// Each sweep lists the whole store.
const MIN_SWEEP: Duration = Duration::from_secs(1);
/// What S3 signs for at most.
const MAX_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    pub(super) fn check(&self) -> Result<()> {
        let scheme = self.url.scheme();
        anyhow::ensure!(
            matches!(scheme, "file" | "memory" | "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss"),
            "[store] url: `{scheme}:` is not offered, only file:, s3:, gs:, az:, abfs: and memory:"
        );
        let url = &self.url;
        anyhow::ensure!(
            url.password().is_none() && url.query().is_none() && url.fragment().is_none(),
            "[store] url: only scheme, bucket and prefix belong here; the rest into [store.options]"
        );
        let bucket = !matches!(scheme, "file" | "memory");
        anyhow::ensure!(
            bucket || self.options.is_empty(),
            "[store.options]: `{scheme}:` takes none"
        );
        anyhow::ensure!(
            bucket || !self.redirect,
            "[store] redirect: clients cannot be sent to a `{scheme}:` store, only to a bucket"
        );
        anyhow::ensure!(
            (MIN_PART..=MAX_PART).contains(&self.part_size),
            "[store] part_size: from {MIN_PART} to {MAX_PART}"
        );
        anyhow::ensure!(
            self.sweep_interval.is_zero() || self.sweep_interval >= MIN_SWEEP,
            "[store] sweep_interval: at least {MIN_SWEEP:?}, or 0s for never"
        );
        let life = Duration::from_secs(1)..=MAX_LIFE;
        anyhow::ensure!(life.contains(&self.redirect_life), "[store] redirect_life: from 1s to 7d");
        Ok(())
    }
}

fn default_part_size() -> ByteSize {
    ByteSize::mib(8)
}

fn hour() -> Duration {
    Duration::from_secs(60 * 60)
}

fn default_redirect_life() -> Duration {
    Duration::from_secs(5 * 60)
}
