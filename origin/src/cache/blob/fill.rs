//! The background task of a fetch: from the request to the upstream to the commit, independent of
//! every client.
//!
//! The commit order is bytes verified, object stored, rows written. A crash between two steps can
//! leave an object without a row, which maintenance removes, but never a row without its object.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use gitlab::redact::redacted;
use tracing::{debug, warn};

use super::Blobs;
use super::download::Source;
use crate::access::GroupId;
use crate::cache::error::{CacheError, FetchError};
use crate::cache::inflight::{Detached, Incoming, Leader, Spool, SpoolFull};
use crate::inject::{self, Point};
use crate::metrics::Counted;
use crate::store::Key;
use crate::upstream::{ProtocolError, UpstreamError};

/// The most bytes written at once; less is written if less has arrived.
const BATCH: usize = 1024 * 1024;

/// How a fetch ended: log field and metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchOutcome {
    /// Stored and linked.
    Stored,
    /// Delivered to clients, but storing it failed.
    StoreFailed,
    /// Delivered to clients, but there was no space to cache it.
    Uncached,
    /// Not needed: the blob was already stored.
    Superseded,
    /// The upstream refused, failed or sent wrong bytes.
    Failed,
}

impl FetchOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::StoreFailed => "store_failed",
            Self::Uncached => "uncached",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// Why spooling stopped early.
enum SpoolStop {
    Failed(FetchError),
    Full(Box<SpoolFull>),
}

impl From<UpstreamError> for SpoolStop {
    fn from(error: UpstreamError) -> Self {
        Self::Failed(error.into())
    }
}

/// Bytes that are to be spooled.
struct Inflow {
    length: Option<u64>,
    incoming: Incoming,
    /// Chunks that have arrived and are not being written yet.
    ahead: Vec<Bytes>,
}

impl Blobs {
    /// Starts the background task that fetches a blob for all who wait, on behalf of this group.
    pub(super) fn spawn_fetch(&self, leader: Leader, source: Source, group: GroupId) {
        let (blobs, counted) = (self.clone(), Counted::in_gauge(&self.metrics.inflight_fetches));
        tokio::spawn(async move {
            let outcome = blobs.fetch(leader, &source, group).await;
            drop(counted);
            debug!(digest = %source.digest, outcome = outcome.as_str(), "a blob fetch ended");
            blobs.metrics.fetch_ended(outcome.as_str());
        });
    }

    async fn fetch(&self, leader: Leader, source: &Source, group: GroupId) -> FetchOutcome {
        match self.is_already_available(source, group).await {
            Ok(true) => {
                leader.superseded();
                return FetchOutcome::Superseded;
            }
            Ok(false) => {}
            Err(error) => return fail(leader, source, error.into()),
        }
        inject::at(Point::BlobFetchStarted);
        let download = match source.download(0, None).await {
            Ok(download) => download,
            Err(error) => return fail(leader, source, error.into()),
        };
        inject::at(Point::BlobHeadersReceived);
        let length = download.length();
        let mut inflow = Inflow { length, incoming: download.into_stream(), ahead: Vec::new() };
        let spool = match leader.spool(length).await {
            Ok(spool) => spool,
            Err(reason) => {
                let hasher = leader.hasher();
                let full = SpoolFull { reason, hasher, received: 0, rest: Vec::new() };
                return self.detach(leader, full, inflow);
            }
        };
        match fill(&leader, spool, &mut inflow).await {
            Ok(spool) => self.finish(leader, source, &spool).await,
            Err(SpoolStop::Failed(error)) => fail(leader, source, error),
            Err(SpoolStop::Full(full)) => self.detach(leader, *full, inflow),
        }
    }

    /// Returns whether the blob was stored after the request had looked it up, by an earlier fetch
    /// of this group or by another group's. In the latter case it is linked to this group if the
    /// upstream grants access. If the store or the database fails, the blob is simply fetched.
    async fn is_already_available(
        &self,
        source: &Source,
        group: GroupId,
    ) -> Result<bool, UpstreamError> {
        let Ok(true) = self.is_stored(&source.digest).await else { return Ok(false) };
        if let Ok(Some(_)) = self.db.linked_blob(group, &source.digest).await {
            return Ok(true);
        }
        match source.image.head_blob(&source.digest).await {
            Err(error) if error.is_about_head() => return Ok(false),
            response => response?,
        };
        Ok(self.link_if_stored(group, &source.digest).await.is_ok())
    }

    /// Verifies the digest, releases the last byte to the readers, then stores. Readers do not wait
    /// for the store, and a store that fails costs the cache a blob, not the clients.
    async fn finish(&self, leader: Leader, source: &Source, spool: &Spool) -> FetchOutcome {
        if spool.digest() != source.digest {
            let error = UpstreamError::from(ProtocolError::DigestMismatch);
            return fail(leader, source, error.into());
        }
        inject::at(Point::BlobVerified);
        leader.complete(spool.received());
        if let Err(error) = self.commit(&leader, spool).await {
            warn!(digest = %source.digest, %error, "a blob was delivered, but storing it failed");
            return FetchOutcome::StoreFailed;
        }
        spool.release_if_moved();
        FetchOutcome::Stored
    }

    /// Stores the object first and writes the rows second, so that a row never promises an object
    /// that is not there. The granted groups are taken as late as possible: a group that joins
    /// after that writes a link of its own.
    async fn commit(&self, leader: &Leader, spool: &Spool) -> Result<(), CacheError> {
        let digest = leader.digest();
        self.store.promote(&Key::Blob(digest), spool.path()).await?;
        inject::at(Point::BlobStored);
        let groups = leader.close_granted_groups();
        self.db.commit_blob(digest, spool.received(), &groups).await?;
        inject::at(Point::BlobCommitted);
        Ok(())
    }

    /// Leaves the spool and hands the rest of the response to the first reader that gets there.
    fn detach(&self, leader: Leader, full: SpoolFull, inflow: Inflow) -> FetchOutcome {
        self.metrics.passed_through(full.reason.as_str());
        let arrived = full.rest.into_iter().chain(inflow.ahead).map(Ok);
        let rest = stream::iter(arrived).chain(inflow.incoming).boxed();
        leader.detach(Detached::new(inflow.length, full.received, full.hasher, rest));
        FetchOutcome::Uncached
    }
}

fn fail(leader: Leader, source: &Source, error: FetchError) -> FetchOutcome {
    let (image, digest) = (source.image.name(), &source.digest);
    warn!(image = redacted(image.as_str()), %digest, %error, "fetching a blob failed");
    if matches!(error, FetchError::Upstream(UpstreamError::Protocol(_))) {
        source.distrust();
    }
    leader.failed(error);
    FetchOutcome::Failed
}

/// Spools everything that arrives: one batch is written while the next one is gathered.
async fn fill(leader: &Leader, mut spool: Spool, inflow: &mut Inflow) -> Result<Spool, SpoolStop> {
    let Inflow { length, incoming, ahead } = inflow;
    leader.streaming(*length);
    gather(incoming, ahead).await?;
    while !ahead.is_empty() {
        let batch = std::mem::take(ahead);
        let writing = append(leader, spool, batch, *length);
        (spool, ()) = tokio::try_join!(writing, gather(incoming, ahead))?;
    }
    Ok(spool)
}

/// Writes a batch and makes it readable at once, without waiting for the next one.
async fn append(
    leader: &Leader,
    spool: Spool,
    batch: Vec<Bytes>,
    length: Option<u64>,
) -> Result<Spool, SpoolStop> {
    let appended = spool.append(batch).await.map_err(SpoolStop::Failed)?;
    let spool = appended.map_err(SpoolStop::Full)?;
    leader.spooled(length, spool.received());
    inject::at(Point::BlobSpooled);
    Ok(spool)
}

/// Waits for a chunk and takes all others that have arrived, up to a batch; leaves `ahead` empty at
/// the end of the blob. Cancelling it loses nothing: what arrived is in `ahead`.
async fn gather(incoming: &mut Incoming, ahead: &mut Vec<Bytes>) -> Result<(), SpoolStop> {
    let mut size = 0;
    let mut next = incoming.try_next().await?;
    while let Some(chunk) = next {
        size += chunk.len();
        ahead.push(chunk);
        if size >= BATCH {
            break;
        }
        let Some(ready) = incoming.try_next().now_or_never() else { break };
        next = ready?;
    }
    Ok(())
}
