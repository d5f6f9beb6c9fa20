//! Manifests: a tag is checked by HEAD before the cached copy is served; a digest never changes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use oci::{Accept, Digest, Reference};
use tracing::warn;

use super::error::{CacheError, Subject};
use super::group_fetch::GroupFetch;
use super::memory::{CachedManifest, MemoryCache};
use super::singleflight::Singleflight;
use super::status::CacheStatus;
use crate::access::GroupId;
use crate::config;
use crate::db::Db;
use crate::db::manifests::StoredManifest;
use crate::maintenance::read_times::ReadTimes;
use crate::metrics::Metrics;
use crate::store::{Key, Store, StoreError};
use crate::upstream::{Image, ManifestHead};

use fetch::{FetchKey, Fetched};
use tag_checks::TagChecks;

mod fetch;
mod head_failure;
mod tag;
mod tag_checks;
mod tag_rule;

/// A manifest that is ready to be sent.
#[derive(Debug, Clone)]
pub struct OpenManifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its `Content-Type`, exactly as the upstream sent it.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The bytes; `None` in a response to HEAD.
    pub bytes: Option<Bytes>,
    /// Where it comes from.
    pub status: CacheStatus,
}

/// A request for a manifest.
#[derive(Debug, Clone, Copy)]
pub struct ManifestRequest<'r> {
    /// The group it is made for.
    pub group: GroupId,
    /// The image at its upstream.
    pub image: &'r Image,
    /// The media types the client accepts. They select what a tag resolves to; a digest is always
    /// the same manifest.
    pub accept: &'r Accept,
    /// Whether the bytes are wanted: `false` for HEAD.
    pub body: bool,
}

/// The manifests of a Cell.
#[derive(Debug, Clone)]
pub struct Manifests {
    db: Db,
    store: Store,
    memory: MemoryCache,
    read_times: ReadTimes,
    rules: Arc<config::Cache>,
    checks: TagChecks,
    heads: Singleflight<FetchKey, ManifestHead>,
    fetches: GroupFetch<FetchKey, Fetched>,
}

impl Manifests {
    /// Creates the manifest cache over a database, a store and the memory cache of both.
    #[must_use]
    pub fn new(
        db: Db,
        store: Store,
        memory: MemoryCache,
        read_times: ReadTimes,
        rules: Arc<config::Cache>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            checks: TagChecks::new(db.clone(), memory.clone()),
            db,
            store,
            memory,
            read_times,
            rules,
            heads: Singleflight::counted_by(&metrics.lookups),
            fetches: GroupFetch::counted_by(&metrics.lookups),
        }
    }

    /// Returns the manifest that a reference points at.
    ///
    /// # Errors
    /// The upstream refuses or fails and no cached copy may be served, or the database or store
    /// fails.
    pub async fn open(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<OpenManifest, CacheError> {
        match reference {
            Reference::Digest(digest) => self.by_digest(request, digest).await,
            Reference::Tag(tag) => self.by_tag(request, tag).await,
        }
    }

    async fn by_digest(
        &self,
        request: ManifestRequest<'_>,
        digest: &Digest,
    ) -> Result<OpenManifest, CacheError> {
        if let Some(open) = self.memory_hit(request, digest) {
            self.read_times.record_manifest(request.group, request.image.name(), digest);
            return Ok(open);
        }
        let read = Instant::now();
        let row = self.db.linked_manifest(request.group, request.image.name(), digest).await?;
        if let Some(row) = row
            && let Some(open) = self.load(request, row, read).await?
        {
            return Ok(open);
        }
        let reference = Reference::Digest(digest.clone());
        if !request.body {
            match self.head(request, &reference).await.map(|head| from_head(head, digest)) {
                Ok(Some(open)) if open.digest == *digest => return Ok(open),
                Err(error) if !head_failure::get_may_succeed(&error) => {
                    return Err(error.about(Subject::Manifest));
                }
                _ => {}
            }
        }
        let fetched = self.fetch(request, &reference).await;
        fetched.map_err(|error| error.about(Subject::Manifest))
    }

    fn memory_hit(&self, request: ManifestRequest<'_>, digest: &Digest) -> Option<OpenManifest> {
        let cached = self.memory.manifest(request.group, request.image.name(), digest)?;
        Some(OpenManifest {
            digest: digest.clone(),
            media_type: cached.media_type,
            size: cached.bytes.len() as u64,
            bytes: request.body.then_some(cached.bytes),
            status: CacheStatus::Hit,
        })
    }

    /// Loads the manifest of a row that was read at `read`. Returns `None` if the object is missing
    /// or corrupt, so that it is fetched again.
    async fn load(
        &self,
        request: ManifestRequest<'_>,
        row: StoredManifest,
        read: Instant,
    ) -> Result<Option<OpenManifest>, CacheError> {
        let StoredManifest { digest, size, media_type } = row;
        let bytes = match self.memory_hit(request, &digest) {
            Some(cached) => cached.bytes,
            None if !request.body => None,
            None => match self.store.read(&Key::Manifest(&digest)).await {
                Ok(bytes) if digest.matches(&bytes) => {
                    let media_type = media_type.clone();
                    let cached = CachedManifest { media_type, bytes: bytes.clone(), read };
                    self.memory.insert_manifest(
                        request.group,
                        request.image.name(),
                        &digest,
                        cached,
                    );
                    Some(bytes)
                }
                Ok(_) => {
                    warn!(%digest, "a stored manifest is corrupt; fetching it again");
                    return Ok(None);
                }
                Err(StoreError::Missing(object)) => {
                    warn!(object, "a stored manifest is missing; fetching it again");
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.read_times.record_manifest(request.group, request.image.name(), &digest);
        Ok(Some(OpenManifest { digest, media_type, size, bytes, status: CacheStatus::Hit }))
    }
}

/// Builds the response to a client's HEAD from the upstream's; `None` if the upstream left the media
/// type or the length out.
fn from_head(head: ManifestHead, digest: &Digest) -> Option<OpenManifest> {
    Some(OpenManifest {
        digest: head.digest.unwrap_or_else(|| digest.clone()),
        media_type: head.media_type?,
        size: head.size?,
        bytes: None,
        status: CacheStatus::Miss,
    })
}
