//! A fetch from its request to its commit, detached from every client.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use gitlab::redact::redacted;
use tracing::{debug, warn};

use super::Blobs;
use super::download::Source;
use crate::cache::flight::{Full, Grounding, Incoming, Spool, Takeoff};
use crate::db::groups::GroupId;
use crate::error::Error;
use crate::inject::{self, Point};
use crate::metrics::Counted;
use crate::store::Key;
use crate::upstream::UpstreamError;

/// How much is written at once; less where less has arrived.
const BATCH: usize = 1024 * 1024;

/// How a fetch ended: log field and metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Stored and linked.
    Stored,
    /// Sent, but the store or the database took it not.
    Unstored,
    /// Sent, but there was no room to keep it.
    Uncached,
    /// It was stored already.
    Moot,
    /// The upstream refused, failed or lied.
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Unstored => "store_failed",
            Self::Uncached => "uncached",
            Self::Moot => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// Why spooling stopped early.
enum Stop {
    Upstream(UpstreamError),
    Full(Box<Full>),
}

/// Bytes that are to be spooled.
struct Inflow {
    length: Option<u64>,
    incoming: Incoming,
    /// What has arrived and is not being written yet.
    ahead: Vec<Bytes>,
}

impl Blobs {
    /// Fetches for all who wait, on behalf of this group; ends when the upstream ends.
    pub(super) fn launch(&self, takeoff: Takeoff, source: Source, group: GroupId) {
        let (blobs, counted) = (self.clone(), Counted::in_gauge(&self.metrics.inflight_fetches));
        tokio::spawn(async move {
            let outcome = blobs.fly(takeoff, &source, group).await;
            drop(counted);
            debug!(digest = %source.digest, outcome = outcome.as_str(), "a fetch ended");
            blobs.metrics.fetch_ended(outcome.as_str());
        });
    }

    async fn fly(&self, takeoff: Takeoff, source: &Source, group: GroupId) -> Outcome {
        match self.is_settled(source, group).await {
            Ok(true) => return Outcome::Moot,
            Ok(false) => {}
            Err(error) => return fail(takeoff, source, &error),
        }
        inject::at(Point::BlobTakenOff);
        let download = match source.download(0, None).await {
            Ok(download) => download,
            Err(error) => return fail(takeoff, source, &error),
        };
        inject::at(Point::BlobAnswered);
        let length = download.length();
        let mut inflow = Inflow { length, incoming: download.into_stream(), ahead: Vec::new() };
        let spool = match takeoff.spool(length).await {
            Ok(spool) => spool,
            Err(refusal) => {
                let hasher = takeoff.hasher();
                let full = Full { refusal, hasher, received: 0, rest: Vec::new() };
                return self.ground(takeoff, full, inflow);
            }
        };
        match fill(&takeoff, spool, &mut inflow).await {
            Ok(spool) => self.keep(takeoff, source, &spool).await,
            Err(Stop::Upstream(error)) => fail(takeoff, source, &error),
            Err(Stop::Full(full)) => self.ground(takeoff, *full, inflow),
        }
    }

    /// Whether the blob was stored between the first look and now, by this group's last fetch or
    /// by another group; then it is linked, if the upstream lets this group have it. A store or
    /// database that cannot tell costs a fetch, no more.
    async fn is_settled(&self, source: &Source, group: GroupId) -> Result<bool, UpstreamError> {
        let Ok(true) = self.is_stored(&source.digest).await else { return Ok(false) };
        if let Ok(Some(_)) = self.db.linked_blob(group, &source.digest).await {
            return Ok(true);
        }
        match source.image.head_blob(&source.digest).await {
            Err(error) if error.is_about_head() => return Ok(false),
            answer => answer?,
        };
        Ok(self.link_if_stored(group, &source.digest).await.is_ok())
    }

    async fn keep(&self, takeoff: Takeoff, source: &Source, spool: &Spool) -> Outcome {
        if spool.digest() != source.digest {
            let error = UpstreamError::Protocol("a blob that is not its digest");
            return fail(takeoff, source, &error);
        }
        inject::at(Point::BlobChecked);
        takeoff.complete(spool.received());
        if let Err(error) = self.commit(&takeoff, spool).await {
            warn!(digest = %source.digest, %error, "a blob was sent but could not be stored");
            return Outcome::Unstored;
        }
        spool.vacate();
        Outcome::Stored
    }

    /// Object first, row second: what a row promises is there.
    async fn commit(&self, takeoff: &Takeoff, spool: &Spool) -> Result<(), Error> {
        let digest = takeoff.digest();
        self.store.promote(&Key::Blob(digest), spool.path()).await?;
        inject::at(Point::BlobStored);
        self.db.commit_blob(digest, spool.received(), &takeoff.passengers()).await?;
        inject::at(Point::BlobCommitted);
        Ok(())
    }

    fn ground(&self, takeoff: Takeoff, full: Full, inflow: Inflow) -> Outcome {
        self.metrics.passed_through(full.refusal.as_str());
        let arrived = full.rest.into_iter().chain(inflow.ahead).map(Ok);
        let rest = stream::iter(arrived).chain(inflow.incoming).boxed();
        takeoff.grounded(Grounding::new(inflow.length, full.received, full.hasher, rest));
        Outcome::Uncached
    }
}

fn fail(takeoff: Takeoff, source: &Source, error: &UpstreamError) -> Outcome {
    let (image, digest) = (source.image.name(), &source.digest);
    warn!(image = redacted(image.as_str()), %digest, %error, "a blob could not be fetched");
    if matches!(error, UpstreamError::Protocol(_)) {
        source.disbelieve();
    }
    takeoff.failed(error);
    Outcome::Failed
}

/// Writes one batch while the next one arrives.
async fn fill(takeoff: &Takeoff, mut spool: Spool, inflow: &mut Inflow) -> Result<Spool, Stop> {
    let Inflow { length, incoming, ahead } = inflow;
    takeoff.streaming(*length);
    gather(incoming, ahead).await?;
    while !ahead.is_empty() {
        let batch = std::mem::take(ahead);
        let writing = append(takeoff, spool, batch, *length);
        (spool, ()) = tokio::try_join!(writing, gather(incoming, ahead))?;
    }
    Ok(spool)
}

/// Readers learn of it at once, whenever the next batch comes.
async fn append(
    takeoff: &Takeoff,
    spool: Spool,
    batch: Vec<Bytes>,
    length: Option<u64>,
) -> Result<Spool, Stop> {
    let appended = spool.append(batch).await.map_err(UpstreamError::from);
    let spool = appended.map_err(Stop::Upstream)?.map_err(Stop::Full)?;
    takeoff.spooled(length, spool.received());
    inject::at(Point::BlobSpooled);
    Ok(spool)
}

/// Waits for bytes and takes what else is there; leaves `ahead` empty at the end. Nothing is lost
/// where it is dropped: what arrived is in `ahead`.
async fn gather(incoming: &mut Incoming, ahead: &mut Vec<Bytes>) -> Result<(), Stop> {
    let mut size = 0;
    let mut next = incoming.try_next().await.map_err(Stop::Upstream)?;
    while let Some(chunk) = next {
        size += chunk.len();
        ahead.push(chunk);
        if size >= BATCH {
            break;
        }
        let Some(ready) = incoming.try_next().now_or_never() else { break };
        next = ready.map_err(Stop::Upstream)?;
    }
    Ok(())
}
