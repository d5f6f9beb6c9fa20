//! Blobs: from the store, from a fetch under way, or from the upstream, once.
//!
//! Bytes are kept once a digest, whoever brought them. A group sees them by a link of its own only,
//! which its own pull makes after the upstream let it have the blob, for its own image. Until then
//! its requests look as if nobody had the blob: MISS, one request upstream, the upstream's refusal or
//! outage. That request is a HEAD where the bytes are here, else a GET, which no client can tell; that
//! the bytes then come faster is no secret of another group's any more, as the upstream said yes.
//! Manifests are linked for each image of a group, and fetched anew for each.

use std::ops::RangeInclusive;
use std::sync::Arc;

use oci::{ByteRange, Digest};
use tracing::warn;

use super::CacheStatus;
use super::flight::{Boarder, Boarding, Departure, Flight, Flights, Refusal};
use super::warm::Warm;
use crate::body::Pieces;
use crate::config;
use crate::db::Db;
use crate::db::groups::GroupId;
use crate::error::{Error, Subject};
use crate::maintenance::read_times::ReadTimes;
use crate::metrics::Metrics;
use crate::store::{Key, Store, StoreError};
use crate::upstream::{Image, UpstreamError};

use delivery::{all_of, deliver};
use download::Source;

mod delivery;
mod download;
mod fill;
mod patience;
mod redirect;

/// How often a fetch may turn out moot, or to have failed for a reason of another group's, before a
/// request takes a way of its own: once is a race, thrice is a crowd.
const ATTEMPTS: usize = 4;

/// A blob on its way to a client.
pub struct OpenBlob {
    /// The whole blob's length in bytes; `None` while an upstream that did not say is read.
    pub length: Option<u64>,
    /// Set where the client gets a part of it.
    pub range: Option<RangeInclusive<u64>>,
    /// The bytes; an error cuts the client off.
    pub body: Pieces,
    /// Where they come from.
    pub status: CacheStatus,
}

/// A blob's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobHead {
    /// Its length in bytes, where it is known.
    pub length: Option<u64>,
    /// Where that is known from.
    pub status: CacheStatus,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct BlobRequest<'r> {
    /// On whose behalf.
    pub group: GroupId,
    /// Where the upstream has it.
    pub image: &'r Image,
    /// Which one.
    pub digest: &'r Digest,
}

/// The Cell's blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    db: Db,
    store: Store,
    warm: Warm,
    read_times: ReadTimes,
    flights: Arc<Flights>,
    metrics: Arc<Metrics>,
}

impl Blobs {
    /// Over a database, a store and what is kept of both in memory; the spool folder is made, and
    /// what earlier runs left there is removed.
    ///
    /// # Errors
    /// The spool folder cannot be made.
    pub fn new(
        config: &config::Store,
        db: Db,
        store: Store,
        warm: Warm,
        read_times: ReadTimes,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let limit = config.spool_limit.map(|limit| limit.as_u64());
        let flights = Flights::new(&config.spool, limit, metrics.spool_bytes.clone())?;
        Ok(Self { db, store, warm, read_times, metrics, flights })
    }

    /// A blob's length: from here, from the group's own fetch under way, or else from the upstream.
    ///
    /// # Errors
    /// The upstream refuses or fails, or the database does.
    pub async fn head(&self, request: BlobRequest<'_>) -> Result<BlobHead, Error> {
        if let Some(size) = self.linked(request).await? {
            return Ok(BlobHead { length: Some(size), status: CacheStatus::Hit });
        }
        if let Some(flight) = self.flights.own(request.digest, request.group)
            && let Ok(Departure::Streaming { length: Some(length) }) = flight.departure().await
        {
            return Ok(BlobHead { length: Some(length), status: CacheStatus::Coalesced });
        }
        let length = match request.image.head_blob(request.digest).await {
            // Its head tells the same.
            Err(error) if error.is_about_head() => {
                request.image.get_blob(request.digest, 0).await.map(|body| body.length)
            }
            asked => asked,
        };
        Ok(BlobHead { length: length.map_err(upstream)?, status: CacheStatus::Miss })
    }

    /// Starts sending a blob; returns as soon as its first byte could be sent.
    ///
    /// # Errors
    /// The range lies outside, the upstream refuses or fails, or the database or store does.
    pub async fn open(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
    ) -> Result<OpenBlob, Error> {
        let boarder = Boarder { group: request.group, image: request.image.name().to_string() };
        let mut status = CacheStatus::Hit;
        for _ in 0..ATTEMPTS {
            if let Some(open) = self.open_stored(request, range, status).await? {
                return Ok(open);
            }
            let (flight, boarded) = match self.board(request, &boarder).await {
                Err(Error::Upstream(_, error)) if error.is_about_head() => break,
                boarded => boarded?,
            };
            status = boarded;
            match flight.departure().await {
                Ok(Departure::Streaming { length }) => {
                    let (range, bytes) = positions(range, length)?;
                    let body = deliver(flight, self.source(request), bytes);
                    return Ok(OpenBlob { length, range, body, status });
                }
                Err(error) if flight.is_led_for(&boarder) => return Err(upstream(error)),
                Ok(Departure::Moot) | Err(_) => {}
            }
        }
        self.open_alone(request, range).await
    }

    async fn board(
        &self,
        request: BlobRequest<'_>,
        boarder: &Boarder,
    ) -> Result<(Arc<Flight>, CacheStatus), Error> {
        match self.flights.board(request.digest, boarder) {
            Boarding::Joined(flight) => Ok((flight, CacheStatus::Coalesced)),
            Boarding::Foreign(flight) => {
                self.join_foreign(request, &flight).await?;
                // As if nobody had begun: what others do is not this group's to know.
                Ok((flight, CacheStatus::Miss))
            }
            Boarding::Lead(takeoff) => {
                let flight = Arc::clone(&takeoff.flight);
                self.launch(takeoff, self.source(request), request.group);
                Ok((flight, CacheStatus::Miss))
            }
        }
    }

    /// Streams from the upstream past everybody else, and keeps nothing.
    async fn open_alone(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
    ) -> Result<OpenBlob, Error> {
        self.metrics.passed_through(Refusal::Contended.as_str());
        let source = self.source(request);
        let whole = source.download(0, None).await.map_err(upstream)?;
        let length = whole.length();
        let (range, bytes) = positions(range, length)?;
        let download = if bytes.start == 0 {
            whole
        } else {
            // A request must not wait for a place that it holds itself.
            drop(whole);
            source.download(bytes.start, length).await.map_err(upstream)?
        };
        let body = all_of(download, &source, bytes);
        Ok(OpenBlob { length, range, body, status: CacheStatus::Miss })
    }

    fn source(&self, request: BlobRequest<'_>) -> Source {
        Source {
            image: request.image.clone(),
            digest: request.digest.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    async fn linked(&self, request: BlobRequest<'_>) -> Result<Option<u64>, Error> {
        if let Some(size) = self.warm.blob(request.group, request.digest) {
            return Ok(Some(size));
        }
        let size = self.db.linked_blob(request.group, request.digest).await?;
        if let Some(size) = size {
            self.warm.keep_blob(request.group, request.digest, size);
        }
        Ok(size)
    }

    async fn open_stored(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
        status: CacheStatus,
    ) -> Result<Option<OpenBlob>, Error> {
        let Some(size) = self.linked(request).await? else {
            return Ok(None);
        };
        let range = resolve(range, size)?;
        let bytes = range.as_ref().map_or(0..size, |range| *range.start()..range.end() + 1);
        match self.store.stream(&Key::Blob(request.digest), size, bytes).await {
            Ok(body) => {
                self.read_times.record_blob(request.group, request.digest);
                Ok(Some(OpenBlob { length: Some(size), range, body, status }))
            }
            Err(error @ (StoreError::Missing(_) | StoreError::WrongLength(_))) => {
                warn!(%error, "a row without its object; it is fetched again");
                self.warm.forget_blob(request.group, request.digest);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The upstream decides whether a group may see what another group brought here.
    async fn join_foreign(&self, request: BlobRequest<'_>, flight: &Flight) -> Result<(), Error> {
        self.ask(request).await?;
        if !flight.grant(request.group)
            && let Err(error) = self.link_if_stored(request.group, request.digest).await
        {
            let digest = request.digest;
            warn!(%digest, %error, "a blob is sent that could not be linked");
        }
        Ok(())
    }

    async fn ask(&self, request: BlobRequest<'_>) -> Result<Option<u64>, Error> {
        request.image.head_blob(request.digest).await.map_err(upstream)
    }

    async fn is_stored(&self, digest: &Digest) -> Result<bool, Error> {
        let Some(size) = self.db.stored_blob(digest).await? else { return Ok(false) };
        let object = self.store.stat(&Key::Blob(digest)).await?;
        Ok(object.is_some_and(|object| object.size == size))
    }

    async fn link_if_stored(&self, group: GroupId, digest: &Digest) -> Result<(), Error> {
        if let Some(size) = self.db.stored_blob(digest).await? {
            self.db.commit_blob(digest, size, &[group]).await?;
        }
        Ok(())
    }
}

/// What a client gets of a blob: the range, and the same as positions that may end beyond.
fn positions(
    range: Option<ByteRange>,
    length: Option<u64>,
) -> Result<(Option<RangeInclusive<u64>>, std::ops::Range<u64>), Error> {
    // Without a length no range can be resolved; the whole is a legal answer (RFC 9110 §14.2).
    let range = match length {
        Some(length) => resolve(range, length)?,
        None => None,
    };
    let bytes = range.as_ref().map_or(0..u64::MAX, |range| *range.start()..range.end() + 1);
    Ok((range, bytes))
}

fn resolve(range: Option<ByteRange>, length: u64) -> Result<Option<RangeInclusive<u64>>, Error> {
    let Some(range) = range else { return Ok(None) };
    range.resolve(length).map(Some).ok_or(Error::RangeNotSatisfiable(length))
}

fn upstream(error: UpstreamError) -> Error {
    Error::Upstream(Subject::Blob, error)
}

impl std::fmt::Debug for OpenBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBlob").field("length", &self.length).finish_non_exhaustive()
    }
}
