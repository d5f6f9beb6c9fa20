//! `[store]`: where bytes live.

use std::path::PathBuf;

use anyhow::Result;
use bytesize::ByteSize;
use serde::Deserialize;
use url::Url;

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///absolute/folder`, or `memory:` for tests.
    pub url: Url,
    /// A folder on a local disk where blobs grow until they are complete.
    pub spool: PathBuf,
    /// How many bytes may lie in the spool; what does not fit is streamed uncached.
    pub spool_limit: Option<ByteSize>,
}

impl Store {
    pub(super) fn check(&self) -> Result<()> {
        anyhow::ensure!(
            matches!(self.url.scheme(), "file" | "memory"),
            "[store] url: `{}:` is not offered, only file: and memory:",
            self.url.scheme()
        );
        Ok(())
    }
}
