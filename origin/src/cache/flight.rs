//! One fetch per digest, however many clients wait for it.
//!
//! The first request *takes off*: a detached task spools the upstream's bytes while hashing them.
//! Every client, the first too, reads the growing spool; none of them feeds or slows the task. The
//! last byte is shown only after the digest was checked, so a wrong blob never ends cleanly.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::try_unfold;
use oci::Digest;
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::watch;

use crate::body::{Piece, Pieces};
use crate::db::groups::GroupId;
use crate::upstream::UpstreamError;

pub(super) use spool::Spool;

mod spool;

/// What the name of a spool file begins with: only such files are ours to remove.
const SPOOL_PREFIX: &str = ".fetch-";

/// The fetches under way.
#[derive(Debug)]
pub(super) struct Flights {
    folder: PathBuf,
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

/// One fetch, as its readers see it.
#[derive(Debug)]
pub(super) struct Flight {
    file: Arc<File>,
    progress: watch::Sender<Progress>,
    passengers: Mutex<Passengers>,
}

/// Who may see the blob once it is stored.
#[derive(Debug)]
struct Passengers {
    groups: HashSet<GroupId>,
    /// Once their links are being written, a group that comes must write its own.
    written: bool,
}

#[derive(Debug, Clone)]
struct Progress {
    phase: Phase,
    /// How many bytes readers may have.
    available: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Asking,
    Streaming { length: Option<u64> },
    Complete,
    Moot,
    Failed(UpstreamError),
}

/// How a fetch began.
pub(super) enum Departure {
    /// Bytes are coming, this many where the upstream said.
    Streaming { length: Option<u64> },
    /// It never began, as the blob was found stored: look again.
    Moot,
}

/// The right and duty to fetch; dropped before the end, its readers learn of it.
pub(super) struct Takeoff {
    flights: Arc<Flights>,
    digest: Digest,
    pub(super) flight: Arc<Flight>,
    pub(super) path: TempPath,
}

impl Flights {
    /// Bytes of earlier runs are of no use: nobody waits for them.
    pub(super) fn new(folder: &Path) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        for found in std::fs::read_dir(folder)? {
            let found = found?;
            if found.file_name().as_encoded_bytes().starts_with(SPOOL_PREFIX.as_bytes()) {
                std::fs::remove_file(found.path())?;
            }
        }
        Ok(Arc::new(Self { folder: folder.to_owned(), flying: Mutex::default() }))
    }

    /// Joins the fetch of this digest or becomes its leader, in one decision.
    pub(super) fn board(
        self: &Arc<Self>,
        digest: &Digest,
        group: GroupId,
    ) -> std::io::Result<Boarding> {
        let mut flying = lock(&self.flying);
        if let Some(flight) = flying.get(digest) {
            let flight = Arc::clone(flight);
            let own = lock(&flight.passengers).groups.contains(&group);
            return Ok(if own { Boarding::Joined(flight) } else { Boarding::Foreign(flight) });
        }
        let spool: NamedTempFile =
            tempfile::Builder::new().prefix(SPOOL_PREFIX).tempfile_in(&self.folder)?;
        let (file, path) = spool.into_parts();
        let progress = Progress { phase: Phase::Asking, available: 0 };
        let flight = Arc::new(Flight {
            file: Arc::new(file),
            progress: watch::Sender::new(progress),
            passengers: Mutex::new(Passengers { groups: HashSet::from([group]), written: false }),
        });
        flying.insert(digest.clone(), Arc::clone(&flight));
        let (flights, digest) = (Arc::clone(self), digest.clone());
        Ok(Boarding::Lead(Takeoff { flights, digest, flight, path }))
    }
}

impl Flight {
    /// Waits until the upstream's headers are there.
    pub(super) async fn departure(&self) -> Result<Departure, UpstreamError> {
        let mut progress = self.progress.subscribe();
        let begun = progress.wait_for(|now| !matches!(now.phase, Phase::Asking)).await;
        match begun.map(|now| now.clone()) {
            Ok(Progress { phase: Phase::Streaming { length }, .. }) => {
                Ok(Departure::Streaming { length })
            }
            Ok(Progress { phase: Phase::Complete, available }) => {
                Ok(Departure::Streaming { length: Some(available) })
            }
            Ok(Progress { phase: Phase::Failed(error), .. }) => Err(error),
            Ok(_) | Err(_) => Ok(Departure::Moot),
        }
    }

    /// Lets another group in. `false`: the links are written already, the group needs its own.
    pub(super) fn grant(&self, group: GroupId) -> bool {
        let mut passengers = lock(&self.passengers);
        if !passengers.written {
            passengers.groups.insert(group);
        }
        !passengers.written
    }

    /// The bytes from `range.start` on, as they arrive; `range.end` may lie beyond the end.
    pub(super) fn read(self: Arc<Self>, range: Range<u64>) -> Pieces {
        Box::pin(try_unfold((self, range), |(flight, range)| async move {
            let until = flight.available_beyond(range.start).await?.min(range.end);
            if until <= range.start {
                return Ok(None);
            }
            let piece = Piece::File(Arc::clone(&flight.file), range.start..until);
            Ok(Some((piece, (flight, until..range.end))))
        }))
    }

    async fn available_beyond(&self, offset: u64) -> std::io::Result<u64> {
        let mut progress = self.progress.subscribe();
        let over = |phase: &Phase| !matches!(phase, Phase::Asking | Phase::Streaming { .. });
        let reached = progress.wait_for(|now| now.available > offset || over(&now.phase)).await;
        let now = reached.map_err(std::io::Error::other)?;
        match &now.phase {
            Phase::Failed(error) => Err(std::io::Error::other(error.to_string())),
            Phase::Moot => Err(std::io::Error::other("the fetch was given up")),
            _ => Ok(now.available),
        }
    }

    fn publish(&self, phase: Phase, available: u64) {
        self.progress.send_replace(Progress { phase, available });
    }
}

impl Takeoff {
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

    /// The fetch failed; readers are cut.
    pub(super) fn failed(&self, error: &UpstreamError) {
        let available = self.flight.progress.borrow().available;
        self.flight.publish(Phase::Failed(error.clone()), available);
    }

    /// Who may see the blob; from now on a group that comes must write its own link.
    pub(super) fn passengers(&self) -> Vec<GroupId> {
        let mut passengers = lock(&self.flight.passengers);
        passengers.written = true;
        passengers.groups.iter().copied().collect()
    }

    /// A file to write the bytes to.
    pub(super) fn spool(&self) -> std::io::Result<Spool> {
        Ok(Spool::new(self.flight.file.try_clone()?, self.digest.algorithm()))
    }

    /// The digest to fetch.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.flight.progress.send_if_modified(|now| {
            let open = matches!(now.phase, Phase::Asking | Phase::Streaming { .. });
            if open {
                now.phase = Phase::Moot;
            }
            open
        });
        lock(&self.flights.flying).remove(&self.digest);
    }
}

/// A holder of these locks only moves values, so what a panicking one left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
