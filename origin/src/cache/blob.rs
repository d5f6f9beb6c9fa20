//! Blobs: served from the store, from an in-flight fetch, or fetched from the upstream once.
//!
//! Bytes are stored once per digest, whichever group fetched them. A group sees a blob only through
//! a link of its own, and gets the link by pulling the blob itself, after the upstream granted it
//! access for its own image. Until then a request of the group looks as if the blob were not
//! cached: it is a MISS, it costs one upstream request, and it fails if the upstream refuses or is
//! down. That request is a HEAD if the bytes are already here, a GET if not. A client cannot see
//! which; that the bytes then arrive faster reveals nothing about another group that the upstream
//! did not just grant. Manifests are linked and fetched per image of a group.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use oci::{ByteRange, Digest};
use tracing::warn;
use url::Url;

use super::error::{CacheError, Subject};
use super::inflight::{Fetch, InflightFetches, Join, Requester, Start, UncachedReason};
use super::memory::MemoryCache;
use super::status::CacheStatus;
use crate::access::GroupId;
use crate::body::Pieces;
use crate::config;
use crate::db::Db;
use crate::maintenance::read_times::ReadTimes;
use crate::metrics::Metrics;
use crate::store::{Key, Store, StoreError};
use crate::upstream::{Image, UpstreamError};

use delivery::{from_download, from_fetch};
use download::Source;

mod backoff;
mod delivery;
mod download;
mod fill;

/// How many fetches a request joins that are superseded, or fail for a reason that concerns another
/// group, before it downloads the blob alone. One such fetch is a race; more are contention.
const ATTEMPTS: usize = 4;

/// How a client gets a blob.
#[derive(Debug)]
pub enum BlobResponse {
    /// From the bucket, at a URL that is signed for a short time.
    Redirect(Url),
    /// In the response's body.
    Body(OpenBlob),
}

/// A blob that is ready to be sent.
pub struct OpenBlob {
    /// The length of the whole blob in bytes; `None` if it is streamed from an upstream that did
    /// not announce it.
    pub length: Option<u64>,
    /// Set if the client gets a part of it.
    pub range: Option<RangeInclusive<u64>>,
    /// The bytes; an error cuts the client off.
    pub body: Pieces,
    /// Where the bytes come from.
    pub status: CacheStatus,
}

/// The metadata of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobHead {
    /// Its length in bytes, if it is known.
    pub length: Option<u64>,
    /// Where the length comes from.
    pub status: CacheStatus,
}

/// A request for a blob.
#[derive(Debug, Clone, Copy)]
pub struct BlobRequest<'r> {
    /// The group it is made for.
    pub group: GroupId,
    /// The image at its upstream.
    pub image: &'r Image,
    /// The blob's digest.
    pub digest: &'r Digest,
}

/// The blobs of a Cell.
#[derive(Debug, Clone)]
pub struct Blobs {
    db: Db,
    store: Store,
    memory: MemoryCache,
    read_times: ReadTimes,
    inflight: Arc<InflightFetches>,
    metrics: Arc<Metrics>,
}

impl Blobs {
    /// Creates the blob cache. Also creates the spool folder and removes what earlier processes
    /// left in it.
    ///
    /// # Errors
    /// The spool folder cannot be created.
    pub fn new(
        config: &config::Store,
        db: Db,
        store: Store,
        memory: MemoryCache,
        read_times: ReadTimes,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let limit = config.spool_limit.map(|limit| limit.as_u64());
        let inflight = InflightFetches::new(&config.spool, limit, metrics.spool_bytes.clone())?;
        Ok(Self { db, store, memory, read_times, inflight, metrics })
    }

    /// Returns a blob's length: from the cache, from an in-flight fetch of the group, or from the
    /// upstream.
    ///
    /// # Errors
    /// The upstream refuses or fails, or the database fails.
    pub async fn head(&self, request: BlobRequest<'_>) -> Result<BlobHead, CacheError> {
        if let Some(size) = self.linked(request).await? {
            return Ok(BlobHead { length: Some(size), status: CacheStatus::Hit });
        }
        if let Some(fetch) = self.inflight.granted(request.digest, request.group)
            && let Ok(Start::Streaming { length: Some(length) }) = fetch.started().await
        {
            return Ok(BlobHead { length: Some(length), status: CacheStatus::Shared });
        }
        let length = match request.image.head_blob(request.digest).await {
            // The headers of a GET say the same; its body is not read.
            Err(error) if error.is_about_head() => {
                request.image.get_blob(request.digest, 0).await.map(|body| body.length)
            }
            response => response,
        };
        Ok(BlobHead { length: length.map_err(upstream)?, status: CacheStatus::Miss })
    }

    /// Opens a blob and returns as soon as its first byte can be sent. A cached blob is not opened
    /// if the store can redirect the client to the bucket.
    ///
    /// # Errors
    /// The range starts beyond the end, the upstream refuses or fails, or the database or store
    /// fails.
    pub async fn open(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
    ) -> Result<BlobResponse, CacheError> {
        let linked = self.linked(request).await?;
        if let Some(size) = linked
            && let Some(url) = self.signed_url(request, size).await?
        {
            return Ok(BlobResponse::Redirect(url));
        }
        Ok(BlobResponse::Body(self.open_body(request, range, linked).await?))
    }

    /// Returns `None` if the store does not redirect, or if the object is missing or has a wrong
    /// size: then opening the blob fetches it again.
    async fn signed_url(
        &self,
        request: BlobRequest<'_>,
        size: u64,
    ) -> Result<Option<Url>, CacheError> {
        if !self.store.redirects() {
            return Ok(None);
        }
        let key = Key::Blob(request.digest);
        let object = self.store.stat(&key).await?;
        if object.is_none_or(|object| object.size != size) {
            return Ok(None);
        }
        self.read_times.record_blob(request.group, request.digest);
        Ok(self.store.signed_url(&key).await?)
    }

    async fn open_body(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
        mut linked: Option<u64>,
    ) -> Result<OpenBlob, CacheError> {
        let requester = Requester { group: request.group, image: request.image.name().to_string() };
        let mut status = CacheStatus::Hit;
        for _ in 0..ATTEMPTS {
            if let Some(size) = linked
                && let Some(open) = self.open_stored(request, size, range, status).await?
            {
                return Ok(open);
            }
            let (fetch, joined) = match self.join(request, &requester).await {
                Err(CacheError::Upstream(_, error)) if error.is_about_head() => break,
                joined => joined?,
            };
            status = joined;
            match fetch.started().await {
                Ok(Start::Streaming { length }) => {
                    let (range, bytes) = positions(range, length)?;
                    let body = from_fetch(fetch, self.source(request), bytes);
                    return Ok(OpenBlob { length, range, body, status });
                }
                Err(error) if fetch.is_led_by(&requester) => {
                    return Err(error.about(Subject::Blob));
                }
                Ok(Start::Superseded) | Err(_) => {}
            }
            linked = self.linked(request).await?;
        }
        self.open_alone(request, range).await
    }

    async fn join(
        &self,
        request: BlobRequest<'_>,
        requester: &Requester,
    ) -> Result<(Arc<Fetch>, CacheStatus), CacheError> {
        match self.inflight.join(request.digest, requester) {
            Join::Granted(fetch) => Ok((fetch, CacheStatus::Shared)),
            Join::NotGranted(fetch) => {
                self.join_other_groups(request, &fetch).await?;
                // Not `Shared`: a group must not learn what other groups pull.
                Ok((fetch, CacheStatus::Miss))
            }
            Join::Lead(leader) => {
                let fetch = Arc::clone(&leader.fetch);
                self.spawn_fetch(leader, self.source(request), request.group);
                Ok((fetch, CacheStatus::Miss))
            }
        }
    }

    /// Streams a blob from the upstream to this client only, without caching it.
    async fn open_alone(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
    ) -> Result<OpenBlob, CacheError> {
        self.metrics.passed_through(UncachedReason::Contended.as_str());
        let source = self.source(request);
        let whole = source.download(0, None).await.map_err(upstream)?;
        let length = whole.length();
        let (range, bytes) = positions(range, length)?;
        let download = if bytes.start == 0 {
            whole
        } else {
            // Frees its connection slot, or the second request might wait for it forever.
            drop(whole);
            source.download(bytes.start, length).await.map_err(upstream)?
        };
        let body = from_download(download, &source, bytes);
        Ok(OpenBlob { length, range, body, status: CacheStatus::Miss })
    }

    fn source(&self, request: BlobRequest<'_>) -> Source {
        Source {
            image: request.image.clone(),
            digest: request.digest.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Returns the length of a blob that is linked to the group.
    async fn linked(&self, request: BlobRequest<'_>) -> Result<Option<u64>, CacheError> {
        if let Some(size) = self.memory.blob(request.group, request.digest) {
            return Ok(Some(size));
        }
        let size = self.db.linked_blob(request.group, request.digest).await?;
        if let Some(size) = size {
            self.memory.insert_blob(request.group, request.digest, size);
        }
        Ok(size)
    }

    async fn open_stored(
        &self,
        request: BlobRequest<'_>,
        size: u64,
        range: Option<ByteRange>,
        status: CacheStatus,
    ) -> Result<Option<OpenBlob>, CacheError> {
        let range = resolve(range, size)?;
        let bytes = range.as_ref().map_or(0..size, |range| *range.start()..range.end() + 1);
        match self.store.stream(&Key::Blob(request.digest), size, bytes).await {
            Ok(body) => {
                self.read_times.record_blob(request.group, request.digest);
                Ok(Some(OpenBlob { length: Some(size), range, body, status }))
            }
            Err(error @ (StoreError::Missing(_) | StoreError::WrongLength(_))) => {
                warn!(%error, "a blob's object does not match its row; fetching it again");
                self.memory.evict_blob(request.group, request.digest);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the upstream decide whether this group may read what other groups are fetching.
    async fn join_other_groups(
        &self,
        request: BlobRequest<'_>,
        fetch: &Fetch,
    ) -> Result<(), CacheError> {
        let (group, digest) = (request.group, request.digest);
        request.image.head_blob(digest).await.map_err(upstream)?;
        if !fetch.grant(group)
            && let Err(error) = self.link_if_stored(group, digest).await
        {
            warn!(%digest, %error, "linking a blob to another group failed; serving it anyway");
        }
        Ok(())
    }

    async fn is_stored(&self, digest: &Digest) -> Result<bool, CacheError> {
        let Some(size) = self.db.stored_blob(digest).await? else { return Ok(false) };
        let object = self.store.stat(&Key::Blob(digest)).await?;
        Ok(object.is_some_and(|object| object.size == size))
    }

    async fn link_if_stored(&self, group: GroupId, digest: &Digest) -> Result<(), CacheError> {
        if let Some(size) = self.db.stored_blob(digest).await? {
            self.db.commit_blob(digest, size, &[group]).await?;
        }
        Ok(())
    }
}

/// Resolves the range a client asked for; also returns it as positions, which may end beyond the
/// blob.
fn positions(
    range: Option<ByteRange>,
    length: Option<u64>,
) -> Result<(Option<RangeInclusive<u64>>, Range<u64>), CacheError> {
    // A range cannot be resolved without a length; sending the whole blob is legal
    // (RFC 9110 §14.2).
    let range = match length {
        Some(length) => resolve(range, length)?,
        None => None,
    };
    let bytes = range.as_ref().map_or(0..u64::MAX, |range| *range.start()..range.end() + 1);
    Ok((range, bytes))
}

fn resolve(
    range: Option<ByteRange>,
    length: u64,
) -> Result<Option<RangeInclusive<u64>>, CacheError> {
    let Some(range) = range else { return Ok(None) };
    range.resolve(length).map(Some).ok_or(CacheError::RangeNotSatisfiable(length))
}

fn upstream(error: UpstreamError) -> CacheError {
    CacheError::Upstream(Subject::Blob, error)
}

impl std::fmt::Debug for OpenBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBlob").field("length", &self.length).finish_non_exhaustive()
    }
}
