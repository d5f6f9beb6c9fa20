//! In-flight fetches of blobs: each digest is fetched once at a time, however many requests wait.
//!
//! The first requester becomes the *leader*: a background task writes the upstream's bytes to a
//! spool file and hashes them. All requests, including the first, read the growing file. They
//! neither feed nor slow the task, so a client that leaves or stalls does not affect the others.
//!
//! The last byte becomes readable only after the digest was verified: a client never receives a
//! wrong blob in full. If the spool cannot grow (`spool_limit`, disk full), the fetch is *detached*
//! from it: every reader finishes the spooled part and continues with a download of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use oci::{Digest, Hasher};

use super::error::FetchError;
use super::sync::lock;
use crate::access::GroupId;

use fetch::Phase;
use folder::SpoolFolder;
use space::SpoolSpace;

pub(super) use fetch::{Detached, Fetch, Incoming, NextRead, Requester, Start};
pub(super) use spool::{Spool, SpoolFull, UncachedReason};

mod fetch;
mod folder;
mod space;
mod spool;

/// The in-flight fetches of an origin, by digest.
#[derive(Debug)]
pub(super) struct InflightFetches {
    folder: SpoolFolder,
    space: Arc<SpoolSpace>,
    running: Mutex<HashMap<Digest, Arc<Fetch>>>,
}

/// What a request finds when it asks for a digest that is not stored.
pub(super) enum Join {
    /// A fetch that this group may read.
    Granted(Arc<Fetch>),
    /// A fetch of other groups; the upstream must grant access before it is read.
    NotGranted(Arc<Fetch>),
    /// No fetch is running: the caller leads one.
    Lead(Leader),
}

/// The leader's handle: the right and the duty to fetch one digest. Dropping it before the fetch
/// ended fails the fetch as [`FetchError::Internal`], so that readers never wait for a task that
/// panicked.
pub(super) struct Leader {
    fetches: Arc<InflightFetches>,
    digest: Digest,
    pub(super) fetch: Arc<Fetch>,
}

impl InflightFetches {
    /// Creates the spool folder and removes what earlier processes left in it.
    pub(super) fn new(
        folder: &Path,
        limit: Option<u64>,
        spooled: prometheus_client::metrics::gauge::Gauge,
    ) -> std::io::Result<Arc<Self>> {
        let (folder, space) = (SpoolFolder::inside(folder)?, SpoolSpace::new(limit, spooled));
        Ok(Arc::new(Self { folder, space, running: Mutex::default() }))
    }

    /// Joins the fetch of this digest or becomes its leader, atomically.
    pub(super) fn join(self: &Arc<Self>, digest: &Digest, requester: &Requester) -> Join {
        let mut running = lock(&self.running);
        if let Some(fetch) = running.get(digest).map(Arc::clone) {
            let granted = fetch.is_granted(requester.group);
            return if granted { Join::Granted(fetch) } else { Join::NotGranted(fetch) };
        }
        let fetch = Arc::new(Fetch::new(requester.clone()));
        running.insert(digest.clone(), Arc::clone(&fetch));
        Join::Lead(Leader { fetches: Arc::clone(self), digest: digest.clone(), fetch })
    }

    /// Returns the running fetch of this digest if the group may know of it.
    pub(super) fn granted(&self, digest: &Digest, group: GroupId) -> Option<Arc<Fetch>> {
        let running = lock(&self.running);
        running.get(digest).filter(|fetch| fetch.is_granted(group)).map(Arc::clone)
    }
}

impl Leader {
    /// Creates the spool file and reserves space for the whole blob if its length is known.
    ///
    /// # Errors
    /// There is no space, or the file cannot be created.
    pub(super) async fn spool(&self, length: Option<u64>) -> Result<Spool, UncachedReason> {
        let reservation = self.fetches.space.reservation();
        if !reservation.grow_to(length.unwrap_or(0)) {
            return Err(UncachedReason::Limit);
        }
        let folder = self.fetches.folder.path().to_owned();
        let spool = Spool::create(folder, reservation, self.digest.algorithm()).await?;
        self.fetch.set_spool(&spool);
        Ok(spool)
    }

    /// Announces the upstream's response headers.
    pub(super) fn streaming(&self, length: Option<u64>) {
        self.fetch.publish(Phase::Streaming { length }, 0);
    }

    /// Makes the spooled bytes readable, except for the blob's last byte: its digest is not
    /// verified yet.
    pub(super) fn spooled(&self, length: Option<u64>, received: u64) {
        let hidden_from = length.map_or(u64::MAX, |length| length.saturating_sub(1));
        self.fetch.publish(Phase::Streaming { length }, received.min(hidden_from));
    }

    /// Makes the whole blob readable after its digest was verified.
    pub(super) fn complete(&self, size: u64) {
        self.fetch.publish(Phase::Complete, size);
    }

    /// Fails the fetch: its readers are cut off, and the next request starts a new one.
    pub(super) fn failed(self, error: FetchError) {
        self.end(Phase::Failed(error));
    }

    /// Ends a fetch that is not needed because the blob is already stored: its requesters look
    /// it up again.
    pub(super) fn superseded(self) {
        self.end(Phase::Superseded);
    }

    /// Detaches the fetch from its spool: readers finish the spooled part and then download the
    /// rest themselves.
    pub(super) fn detach(self, detached: Detached) {
        self.deregister();
        let spooled = detached.spooled;
        self.fetch.publish(Phase::Detached(Arc::new(detached)), spooled);
    }

    /// Returns the groups to link to the blob and closes the list: a group that is granted access
    /// from now on must write its own link.
    pub(super) fn close_granted_groups(&self) -> Vec<GroupId> {
        self.fetch.close_granted_groups()
    }

    /// Returns the digest to fetch.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns a hasher of the digest's algorithm that has hashed nothing yet.
    pub(super) fn hasher(&self) -> Hasher {
        Hasher::new(self.digest.algorithm())
    }

    fn end(&self, phase: Phase) {
        self.deregister();
        self.fetch.end(phase);
    }

    /// Removes the fetch from the map, before its readers learn that it ended: one that tries again
    /// must not find the same fetch. The map may hold a later fetch of the same digest by then.
    fn deregister(&self) {
        let mut running = lock(&self.fetches.running);
        if running.get(&self.digest).is_some_and(|fetch| Arc::ptr_eq(fetch, &self.fetch)) {
            running.remove(&self.digest);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Without effect on a fetch that ended properly.
        self.end(Phase::Failed(FetchError::Internal));
    }
}

#[cfg(test)]
mod tests;
