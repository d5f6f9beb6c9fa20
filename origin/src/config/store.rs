//! `[store]`: the store that holds the bytes of blobs and manifests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use url::Url;

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///absolute/folder`, `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix`, or `memory:` for tests.
    pub url: Url,
    /// A folder on a local disk that holds blobs while they are being fetched.
    pub spool: PathBuf,
    /// The maximum size of the spool. A blob that does not fit is streamed without being cached.
    pub spool_limit: Option<ByteSize>,
    /// Options of a bucket, by their `object_store` names. The values may be credentials.
    #[serde(default, deserialize_with = "options")]
    pub options: BTreeMap<String, SecretString>,
    /// The size of a part of a multipart upload to a bucket.
    #[serde(default = "default_part_size")]
    pub part_size: ByteSize,
    /// Whether clients are redirected to the bucket for blobs.
    #[serde(default)]
    pub redirect: bool,
    /// The lifetime of a signed URL that a client is redirected to.
    #[serde(default = "default_redirect_life", with = "humantime_serde")]
    pub redirect_life: Duration,
    /// How often orphans, objects without a database row, are removed; zero disables it.
    #[serde(default = "hour", with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// The minimum age of an orphan; it must exceed the time between writing an object and its row.
    #[serde(default = "hour", with = "humantime_serde")]
    pub orphan_grace: Duration,
}

/// A value of `[store.options]` as TOML writes it; `object_store` takes text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be text, a whole number, true or false")]
enum OptionValue {
    Text(SecretString),
    Switch(bool),
    Number(i64),
}

impl From<OptionValue> for SecretString {
    fn from(value: OptionValue) -> Self {
        match value {
            OptionValue::Text(text) => text,
            OptionValue::Switch(on) => on.to_string().into(),
            OptionValue::Number(number) => number.to_string().into(),
        }
    }
}

fn options<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<BTreeMap<String, SecretString>, D::Error> {
    let values = BTreeMap::<String, OptionValue>::deserialize(input)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// The minimum of S3 for every part except the last.
const MIN_PART: ByteSize = ByteSize::mib(5);
/// Up to four parts of each blob are in memory at once.
const MAX_PART: ByteSize = ByteSize::gib(1);
/// A sweep lists the whole store, so it must not run continuously.
const MIN_SWEEP: Duration = Duration::from_secs(1);
/// The maximum lifetime of a signed URL of S3.
const MAX_REDIRECT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    pub(super) fn validate(&self) -> Result<()> {
        let scheme = self.url.scheme();
        anyhow::ensure!(
            matches!(scheme, "file" | "memory" | "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss"),
            "[store] url: `{scheme}:` is not supported; use file:, s3:, gs:, az:, abfs: or memory:"
        );
        let url = &self.url;
        anyhow::ensure!(
            url.password().is_none() && url.query().is_none() && url.fragment().is_none(),
            "[store] url: may contain only a scheme, a bucket and a prefix; set everything else in \
             [store.options]"
        );
        let bucket = !matches!(scheme, "file" | "memory");
        anyhow::ensure!(
            bucket || self.options.is_empty(),
            "[store.options]: a `{scheme}:` store has no options; remove them"
        );
        anyhow::ensure!(
            bucket || !self.redirect,
            "[store] redirect: a `{scheme}:` store cannot serve clients; use a bucket or set it to false"
        );
        anyhow::ensure!(
            (MIN_PART..=MAX_PART).contains(&self.part_size),
            "[store] part_size: must be from {MIN_PART} to {MAX_PART}"
        );
        anyhow::ensure!(
            self.sweep_interval.is_zero() || self.sweep_interval >= MIN_SWEEP,
            "[store] sweep_interval: must be at least {MIN_SWEEP:?}, or 0s to disable sweeping"
        );
        let life = Duration::from_secs(1)..=MAX_REDIRECT_LIFE;
        anyhow::ensure!(
            life.contains(&self.redirect_life),
            "[store] redirect_life: must be from 1s to 7d"
        );
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
