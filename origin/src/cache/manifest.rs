//! Manifests: a tag is checked by HEAD before the cached copy is served; a digest never changes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use oci::{Accept, Digest, Reference};
use tracing::warn;

use self::checks::Checks;
use self::fetch::{Ask, Fetched};
use super::CacheStatus;
use super::coalesce::Coalesced;
use super::warm::{Warm, WarmManifest};
use crate::config;
use crate::db::Db;
use crate::db::groups::GroupId;
use crate::db::manifests::StoredManifest;
use crate::error::{Error, Subject};
use crate::maintenance::read_times::ReadTimes;
use crate::metrics::Metrics;
use crate::store::{Key, Store, StoreError};
use crate::upstream::{Image, ManifestHead, UpstreamError};

mod checks;
mod fetch;
mod tag;

/// A manifest for a client.
#[derive(Debug, Clone)]
pub struct OpenManifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its `Content-Type`, as the upstream sent it.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The bytes; `None` where only the head was asked for.
    pub bytes: Option<Bytes>,
    /// Where it came from.
    pub status: CacheStatus,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct ManifestRequest<'r> {
    /// On whose behalf.
    pub group: GroupId,
    /// Where the upstream has it.
    pub image: &'r Image,
    /// The media types the client takes; a digest is one manifest whatever they are.
    pub accept: &'r Accept,
    /// Whether the bytes are wanted.
    pub body: bool,
}

/// The Cell's manifests.
#[derive(Debug, Clone)]
pub struct Manifests {
    db: Db,
    store: Store,
    warm: Warm,
    read_times: ReadTimes,
    rules: Arc<config::Cache>,
    checks: Checks,
    heads: Coalesced<Ask, ManifestHead>,
    gets: Coalesced<Ask, Fetched>,
    commits: Coalesced<(GroupId, Ask), Fetched>,
}

impl Manifests {
    /// Over a database, a store and what is kept of both in memory.
    #[must_use]
    pub fn new(
        db: Db,
        store: Store,
        warm: Warm,
        read_times: ReadTimes,
        rules: Arc<config::Cache>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            checks: Checks::new(db.clone(), warm.clone()),
            db,
            store,
            warm,
            read_times,
            rules,
            heads: Coalesced::counted_by(&metrics.lookups),
            gets: Coalesced::default(),
            commits: Coalesced::counted_by(&metrics.lookups),
        }
    }

    /// The manifest a reference points at.
    ///
    /// # Errors
    /// It is neither cached nor to be had from the upstream, or the database or store fails.
    pub async fn open(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<OpenManifest, Error> {
        match reference {
            Reference::Digest(digest) => self.by_digest(request, digest).await,
            Reference::Tag(tag) => self.by_tag(request, tag).await,
        }
    }

    async fn by_digest(
        &self,
        request: ManifestRequest<'_>,
        digest: &Digest,
    ) -> Result<OpenManifest, Error> {
        if let Some(warm) = self.warm(request, digest) {
            self.read_times.record_manifest(request.group, request.image.name(), digest);
            return Ok(warm);
        }
        let read = Instant::now();
        let row = self.db.linked_manifest(request.group, request.image.name(), digest).await?;
        if let Some(row) = row
            && let Some(cached) = self.load(request, row, read).await?
        {
            return Ok(cached);
        }
        let reference = Reference::Digest(digest.clone());
        if !request.body {
            match self.head(request, &reference).await.map(|head| from_head(head, digest)) {
                Ok(Some(open)) if open.digest == *digest => return Ok(open),
                Err(error) if !may_hold_for_head_only(&error) => return Err(upstream(error)),
                _ => {}
            }
        }
        self.fetch(request, &reference).await.map_err(upstream)
    }

    fn warm(&self, request: ManifestRequest<'_>, digest: &Digest) -> Option<OpenManifest> {
        let warm = self.warm.manifest(request.group, request.image.name(), digest)?;
        Some(OpenManifest {
            digest: digest.clone(),
            media_type: warm.media_type,
            size: warm.bytes.len() as u64,
            bytes: request.body.then_some(warm.bytes),
            status: CacheStatus::Hit,
        })
    }

    /// By a row as it was `read` then; one whose object is gone or spoilt counts as a miss and is
    /// fetched again.
    async fn load(
        &self,
        request: ManifestRequest<'_>,
        row: StoredManifest,
        read: Instant,
    ) -> Result<Option<OpenManifest>, Error> {
        let StoredManifest { digest, size, media_type } = row;
        let bytes = match self.warm(request, &digest) {
            Some(warm) => warm.bytes,
            None if !request.body => None,
            None => match self.store.read(&Key::Manifest(&digest)).await {
                Ok(bytes) if digest.matches(&bytes) => {
                    let media_type = media_type.clone();
                    let kept = WarmManifest { media_type, bytes: bytes.clone(), read };
                    self.warm.keep_manifest(request.group, request.image.name(), &digest, kept);
                    Some(bytes)
                }
                Ok(_) => {
                    warn!(%digest, "an object that is not its digest; it is fetched again");
                    return Ok(None);
                }
                Err(StoreError::Missing(object)) => {
                    warn!(object, "a row without its object; it is fetched again");
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.read_times.record_manifest(request.group, request.image.name(), &digest);
        Ok(Some(OpenManifest { digest, media_type, size, bytes, status: CacheStatus::Hit }))
    }
}

/// What a HEAD of this digest can be answered with; not enough where the upstream left something
/// out.
fn from_head(head: ManifestHead, digest: &Digest) -> Option<OpenManifest> {
    Some(OpenManifest {
        digest: head.digest.unwrap_or_else(|| digest.clone()),
        media_type: head.media_type?,
        size: head.size?,
        bytes: None,
        status: CacheStatus::Miss,
    })
}

/// An upstream that refuses or fails a HEAD may still answer a GET; one that asks us to slow down,
/// or cannot be reached, is not asked again at once.
fn may_hold_for_head_only(error: &UpstreamError) -> bool {
    may_be_about_head(error) || matches!(error, UpstreamError::Status { status: 500..=599, .. })
}

/// More than of a blob, whose bytes are shared between groups: a manifest's GET is the image's own,
/// and its answer alone is served, so it may be asked after a 403 too.
fn may_be_about_head(error: &UpstreamError) -> bool {
    let odd =
        matches!(error, UpstreamError::Status { status: 403, .. } | UpstreamError::Protocol(_));
    odd || error.is_about_head()
}

fn upstream(error: UpstreamError) -> Error {
    Error::Upstream(Subject::Manifest, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_head_itself_is_asked_again_by_get() {
        let status =
            |status| may_be_about_head(&UpstreamError::Status { status, retry_after: None });
        assert!([400, 403, 405, 501].into_iter().all(status));
        assert!(![401, 404, 429, 500, 503].into_iter().any(status));
        assert!(!may_hold_for_head_only(&UpstreamError::Timeout));
    }
}
