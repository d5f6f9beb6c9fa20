//! Blobs: from the store, from a fetch under way, or from the upstream, once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use oci::{ByteRange, Digest};
use tracing::warn;

use super::CacheStatus;
use super::flight::{Boarding, Departure, Flight, Flights, Takeoff};
use crate::body::Pieces;
use crate::config;
use crate::db::Db;
use crate::db::groups::GroupId;
use crate::error::{Error, Subject};
use crate::metrics::Metrics;
use crate::store::{Key, Store, StoreError};
use crate::upstream::{Image, UpstreamError};

/// How often a fetch may turn out moot before a request gives up; once is a race, thrice is a bug.
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
    flights: Arc<Flights>,
    metrics: Arc<Metrics>,
}

impl Blobs {
    /// Over a database and a store; the spool folder is made, and
    /// what earlier runs left there is removed.
    ///
    /// # Errors
    /// The spool folder cannot be made.
    pub fn new(
        config: &config::Store,
        db: Db,
        store: Store,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        Ok(Self { db, store, metrics, flights: Flights::new(&config.spool)? })
    }

    /// A blob's length, from here or else from the upstream.
    ///
    /// # Errors
    /// The upstream refuses or fails, or the database does.
    pub async fn head(&self, request: BlobRequest<'_>) -> Result<BlobHead, Error> {
        if let Some(size) = self.db.linked_blob(request.group, request.digest).await? {
            return Ok(BlobHead { length: Some(size), status: CacheStatus::Hit });
        }
        let length = self.ask(request).await?;
        Ok(BlobHead { length, status: CacheStatus::Miss })
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
        for _ in 0..ATTEMPTS {
            if let Some(open) = self.open_stored(request, range).await? {
                return Ok(open);
            }
            let (flight, status) = match self.flights.board(request.digest, request.group)? {
                Boarding::Joined(flight) => (flight, CacheStatus::Coalesced),
                Boarding::Foreign(flight) => {
                    self.join_foreign(request, &flight).await?;
                    (flight, CacheStatus::Coalesced)
                }
                Boarding::Lead(takeoff) => match self.lead(request, takeoff).await? {
                    Some(flight) => (flight, CacheStatus::Miss),
                    None => continue,
                },
            };
            match flight.departure().await.map_err(upstream)? {
                Departure::Streaming { length } => {
                    return open_flight(flight, length, range, status);
                }
                Departure::Moot => {}
            }
        }
        Err(Error::Busy)
    }

    async fn open_stored(
        &self,
        request: BlobRequest<'_>,
        range: Option<ByteRange>,
    ) -> Result<Option<OpenBlob>, Error> {
        let Some(size) = self.db.linked_blob(request.group, request.digest).await? else {
            return Ok(None);
        };
        let range = resolve(range, size)?;
        let bytes = range.as_ref().map_or(0..size, |range| *range.start()..range.end() + 1);
        match self.store.stream(&Key::Blob(request.digest), bytes).await {
            Ok(body) => {
                let status = CacheStatus::Hit;
                Ok(Some(OpenBlob { length: Some(size), range, body, status }))
            }
            Err(StoreError::Missing(object)) => {
                warn!(object, "a row without its object; it is fetched again");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The upstream decides whether a group may see what another group brought here.
    async fn join_foreign(&self, request: BlobRequest<'_>, flight: &Flight) -> Result<(), Error> {
        self.ask(request).await?;
        if !flight.grant(request.group) {
            self.link_if_stored(request).await?;
        }
        Ok(())
    }

    async fn ask(&self, request: BlobRequest<'_>) -> Result<Option<u64>, Error> {
        request.image.head_blob(request.digest).await.map_err(upstream)
    }

    async fn link_if_stored(&self, request: BlobRequest<'_>) -> Result<(), Error> {
        if let Some(size) = self.db.stored_blob(request.digest).await? {
            self.db.commit_blob(request.digest, size, &[request.group]).await?;
        }
        Ok(())
    }

    /// Fetches, unless the blob was stored between the first look and now (`None`), by this
    /// group's last fetch or by another group.
    async fn lead(
        &self,
        request: BlobRequest<'_>,
        takeoff: Takeoff,
    ) -> Result<Option<Arc<Flight>>, Error> {
        let stored = self.store.contains(&Key::Blob(request.digest)).await?;
        if stored && self.db.stored_blob(request.digest).await?.is_some() {
            if self.db.linked_blob(request.group, request.digest).await?.is_none() {
                self.ask(request).await?;
                self.link_if_stored(request).await?;
            }
            return Ok(None);
        }
        let flight = Arc::clone(&takeoff.flight);
        self.metrics.flights.inc();
        tokio::spawn(self.clone().fill(takeoff, request.image.clone()));
        Ok(Some(flight))
    }

    /// Detached from every client: it ends when the upstream ends.
    async fn fill(self, takeoff: Takeoff, image: Image) {
        self.fly(takeoff, &image).await;
        self.metrics.flights.dec();
    }

    async fn fly(&self, takeoff: Takeoff, image: &Image) {
        let size = match self.fetch(&takeoff, image).await {
            Ok(size) => size,
            Err(error) => {
                let image = image.name();
                warn!(%image, digest = %takeoff.digest(), %error, "a blob could not be fetched");
                return takeoff.failed(&error);
            }
        };
        takeoff.complete(size);
        if let Err(error) = self.commit(&takeoff, size).await {
            warn!(digest = %takeoff.digest(), %error, "a blob was sent but could not be stored");
        }
    }

    async fn fetch(&self, takeoff: &Takeoff, image: &Image) -> Result<u64, UpstreamError> {
        let mut blob = image.get_blob(takeoff.digest(), 0).await?;
        let mut spool = takeoff.spool()?;
        takeoff.streaming(blob.length);
        while let Some(chunk) = blob.chunk().await? {
            spool = spool.append(chunk).await?;
            takeoff.spooled(blob.length, spool.received());
        }
        let received = spool.received();
        if blob.length.is_some_and(|length| length != received) {
            return Err(UpstreamError::Protocol("fewer bytes than it announced"));
        }
        if spool.digest() != *takeoff.digest() {
            return Err(UpstreamError::Protocol("a blob that is not its digest"));
        }
        Ok(received)
    }

    /// Object first, row second: what a row promises is there.
    async fn commit(&self, takeoff: &Takeoff, size: u64) -> Result<(), Error> {
        self.store.promote(&Key::Blob(takeoff.digest()), &takeoff.path).await?;
        self.db.commit_blob(takeoff.digest(), size, &takeoff.passengers()).await?;
        Ok(())
    }
}

fn open_flight(
    flight: Arc<Flight>,
    length: Option<u64>,
    range: Option<ByteRange>,
    status: CacheStatus,
) -> Result<OpenBlob, Error> {
    // Without a length no range can be resolved; the whole is a legal answer (RFC 9110 §14.2).
    let range = match length {
        Some(length) => resolve(range, length)?,
        None => None,
    };
    let bytes = range.as_ref().map_or(0..u64::MAX, |range| *range.start()..range.end() + 1);
    Ok(OpenBlob { length, range, body: flight.read(bytes), status })
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
