//! Manifests: a tag is checked by HEAD before the cached copy is served; a digest never changes.

use bytes::Bytes;
use oci::{Digest, Reference, Tag};
use tracing::warn;

use super::CacheStatus;
use crate::config::WhenRefused;
use crate::db::Db;
use crate::db::groups::GroupId;
use crate::db::manifests::StoredManifest;
use crate::error::{Error, Subject};
use crate::store::{Key, Store, StoreError};
use crate::upstream::{FailureClass, Image, ManifestHead, UpstreamError};

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
    /// The media types the client takes; `None`: whatever there is.
    pub accept: Option<&'r str>,
    /// Whether the bytes are wanted.
    pub body: bool,
}

/// The Cell's manifests.
#[derive(Debug, Clone)]
pub struct Manifests {
    db: Db,
    store: Store,
    when_refused: WhenRefused,
}

impl Manifests {
    /// Over a database and a store.
    #[must_use]
    pub fn new(db: Db, store: Store, when_refused: WhenRefused) -> Self {
        Self { db, store, when_refused }
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
        let row = self.db.linked_manifest(request.group, request.image.name(), digest).await?;
        if let Some(cached) = self.load(request, row).await? {
            return Ok(cached);
        }
        let reference = Reference::Digest(digest.clone());
        if !request.body {
            let head = request.image.head_manifest(&reference, request.accept).await;
            if let Some(open) = from_head(head.map_err(upstream)?, Some(digest)) {
                return Ok(open);
            }
        }
        self.fetch(request, &reference).await.map_err(Failure::into_error)
    }

    /// The rule of the seeds: HEAD; same digest → cache; HEAD fails → cache; else GET and store.
    async fn by_tag(&self, request: ManifestRequest<'_>, tag: &Tag) -> Result<OpenManifest, Error> {
        let row = self.db.tagged_manifest(request.group, request.image.name(), tag).await?;
        let cached = self.load(request, row).await?;
        let reference = Reference::Tag(tag.clone());
        let head = request.image.head_manifest(&reference, request.accept).await;
        match (cached, head) {
            (Some(cached), Ok(head)) if is_current(&cached, &head) => Ok(cached),
            (Some(cached), Ok(_)) => {
                let fetched = self.fetch(request, &reference).await;
                fetched.or_else(|failure| self.fall_back(cached, failure))
            }
            (Some(cached), Err(error)) => self.fall_back(cached, Failure::Upstream(error)),
            (None, Err(error)) if !may_hold_for_head_only(&error) => Err(upstream(error)),
            (None, head) => {
                let known = head.ok().filter(|_| !request.body);
                match known.and_then(|head| from_head(head, None)) {
                    Some(open) => Ok(open),
                    None => self.fetch(request, &reference).await.map_err(Failure::into_error),
                }
            }
        }
    }

    /// Serves the cached copy where the failure says nothing about it.
    fn fall_back(&self, cached: OpenManifest, failure: Failure) -> Result<OpenManifest, Error> {
        match failure {
            Failure::Upstream(error) if !self.tolerates(&error) => Err(upstream(error)),
            Failure::Upstream(error) => {
                warn!(digest = %cached.digest, %error, "serving a cached manifest unchecked");
                Ok(OpenManifest { status: CacheStatus::Stale, ..cached })
            }
            Failure::Here(error) => Err(error),
        }
    }

    fn tolerates(&self, error: &UpstreamError) -> bool {
        error.class() == FailureClass::Outage || self.when_refused == WhenRefused::ServeStale
    }

    /// A row whose object is gone or spoilt counts as a miss and is fetched again.
    async fn load(
        &self,
        request: ManifestRequest<'_>,
        row: Option<StoredManifest>,
    ) -> Result<Option<OpenManifest>, Error> {
        let Some(StoredManifest { digest, size, media_type }) = row else { return Ok(None) };
        let bytes = match request.body {
            false => None,
            true => match self.store.read(&Key::Manifest(&digest)).await {
                Ok(bytes) if digest.matches(&bytes) => Some(bytes),
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
        Ok(Some(OpenManifest { digest, media_type, size, bytes, status: CacheStatus::Hit }))
    }

    /// Object first, row second: what a row promises is there.
    async fn fetch(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<OpenManifest, Failure> {
        let fetched = request.image.get_manifest(reference, request.accept).await?;
        let stored = StoredManifest {
            digest: fetched.digest,
            size: fetched.bytes.len() as u64,
            media_type: fetched.media_type,
        };
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        let key = Key::Manifest(&stored.digest);
        self.store.put(&key, fetched.bytes.clone()).await.map_err(Error::from)?;
        let committed =
            self.db.commit_manifest(request.group, request.image.name(), tag, &stored).await;
        committed.map_err(Error::from)?;
        let StoredManifest { digest, size, media_type } = stored;
        let bytes = request.body.then_some(fetched.bytes);
        Ok(OpenManifest { digest, media_type, size, bytes, status: CacheStatus::Miss })
    }
}

/// Whose failure it is: only the upstream's may be answered from the cache.
enum Failure {
    Upstream(UpstreamError),
    Here(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Upstream(error) => upstream(error),
            Self::Here(error) => error,
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

/// An upstream that refuses a HEAD as such may still answer a GET; one that asks us to slow down is
/// not asked again at once.
fn may_hold_for_head_only(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Status { status: 429, .. } => false,
        UpstreamError::Status { .. } => error.class() == FailureClass::Outage,
        UpstreamError::Protocol(_) => true,
        _ => false,
    }
}

fn is_current(cached: &OpenManifest, head: &ManifestHead) -> bool {
    head.digest.as_ref() == Some(&cached.digest) && head.media_type == cached.media_type
}

/// What a HEAD can be answered with; not enough where the upstream left something out.
fn from_head(head: ManifestHead, asked: Option<&Digest>) -> Option<OpenManifest> {
    Some(OpenManifest {
        digest: head.digest.or_else(|| asked.cloned())?,
        media_type: head.media_type,
        size: head.size?,
        bytes: None,
        status: CacheStatus::Miss,
    })
}

fn upstream(error: UpstreamError) -> Error {
    Error::Upstream(Subject::Manifest, error)
}
