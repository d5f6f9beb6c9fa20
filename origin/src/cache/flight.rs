//! One fetch per digest, however many clients wait for it.
//!
//! The first request *takes off*: a detached task spools the upstream's bytes while hashing them.
//! Every client, the first too, reads the growing spool; none of them feeds or slows the task. The
//! last byte is shown only after the digest was checked, so a wrong blob never ends cleanly. Where
//! the spool cannot grow on, the flight is *grounded* and each reader goes on alone from there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use oci::{Digest, Hasher};

use super::lock;
use crate::db::groups::GroupId;
use crate::upstream::UpstreamError;

use folder::SpoolFolder;
use room::Room;
use view::Phase;

pub(super) use spool::{Full, Refusal, Spool};
pub(super) use view::{Boarder, Departure, Flight, Grounding, Incoming, Next};

mod folder;
mod room;
mod spool;
mod view;

/// The fetches under way.
#[derive(Debug)]
pub(super) struct Flights {
    folder: SpoolFolder,
    room: Arc<Room>,
    flying: Mutex<HashMap<Digest, Arc<Flight>>>,
}

/// What a request finds when it asks for a digest that is not stored.
pub(super) enum Boarding {
    /// The group's own fetch is under way.
    Joined(Arc<Flight>),
    /// Another group's fetch is under way; the upstream must be asked before it is read.
    Foreign(Arc<Flight>),
    /// Nothing is under way: the caller fetches.
    Lead(Takeoff),
}

/// The right and duty to fetch; dropped before the end, its readers learn of it.
pub(super) struct Takeoff {
    flights: Arc<Flights>,
    digest: Digest,
    pub(super) flight: Arc<Flight>,
}

impl Flights {
    /// Bytes of earlier runs are of no use: nobody waits for them.
    pub(super) fn new(
        folder: &Path,
        limit: Option<u64>,
        spooled: prometheus_client::metrics::gauge::Gauge,
    ) -> std::io::Result<Arc<Self>> {
        let room = Room::new(limit, spooled);
        Ok(Arc::new(Self { folder: SpoolFolder::inside(folder)?, room, flying: Mutex::default() }))
    }

    /// Joins the fetch of this digest or becomes its leader, in one decision.
    pub(super) fn board(self: &Arc<Self>, digest: &Digest, boarder: &Boarder) -> Boarding {
        let mut flying = lock(&self.flying);
        if let Some(flight) = flying.get(digest).map(Arc::clone) {
            let own = flight.carries(boarder.group);
            return if own { Boarding::Joined(flight) } else { Boarding::Foreign(flight) };
        }
        let flight = Arc::new(Flight::new(boarder.clone()));
        flying.insert(digest.clone(), Arc::clone(&flight));
        Boarding::Lead(Takeoff { flights: Arc::clone(self), digest: digest.clone(), flight })
    }

    /// The fetch of this digest that is under way and that this group may know of.
    pub(super) fn own(&self, digest: &Digest, group: GroupId) -> Option<Arc<Flight>> {
        let flying = lock(&self.flying);
        flying.get(digest).filter(|flight| flight.carries(group)).map(Arc::clone)
    }
}

impl Takeoff {
    /// A file to write the bytes to, with room for all of them where their number is known.
    ///
    /// # Errors
    /// There is no room, or the file cannot be made.
    pub(super) async fn spool(&self, length: Option<u64>) -> Result<Spool, Refusal> {
        let room = self.flights.room.reservation();
        if !room.cover(length.unwrap_or(0)) {
            return Err(Refusal::Limit);
        }
        let folder = self.flights.folder.path().to_owned();
        let spool = Spool::create(folder, room, self.digest.algorithm()).await?;
        self.flight.grows_in(&spool);
        Ok(spool)
    }

    /// The upstream's headers are there.
    pub(super) fn streaming(&self, length: Option<u64>) {
        self.flight.publish(Phase::Streaming { length }, 0);
    }

    /// This many bytes are spooled. The last one stays hidden: the digest is not checked yet.
    pub(super) fn spooled(&self, length: Option<u64>, received: u64) {
        let hidden_from = length.map_or(u64::MAX, |length| length.saturating_sub(1));
        self.flight.publish(Phase::Streaming { length }, received.min(hidden_from));
    }

    /// All bytes are there and right.
    pub(super) fn complete(&self, size: u64) {
        self.flight.publish(Phase::Complete, size);
    }

    /// The fetch failed; readers are cut, and who comes next starts anew.
    pub(super) fn failed(self, error: &UpstreamError) {
        self.leave();
        self.flight.end(Phase::Failed(error.clone()));
    }

    /// The spool grows no more; readers have what is there and go on alone.
    pub(super) fn grounded(self, grounding: Grounding) {
        self.leave();
        let at = grounding.at;
        self.flight.publish(Phase::Grounded(Arc::new(grounding)), at);
    }

    /// Who may see the blob; from now on a group that comes must write its own link.
    pub(super) fn passengers(&self) -> Vec<GroupId> {
        self.flight.close_list()
    }

    /// The digest to fetch.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The hash of nothing.
    pub(super) fn hasher(&self) -> Hasher {
        Hasher::new(self.digest.algorithm())
    }

    /// Before readers learn of the end, or one that looks again would find the same flight.
    fn leave(&self) {
        let mut flying = lock(&self.flights.flying);
        if flying.get(&self.digest).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flying.remove(&self.digest);
        }
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.leave();
        self.flight.end(Phase::Moot);
    }
}

#[cfg(test)]
mod tests;
