//! One in-flight fetch as its readers see it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use oci::Hasher;
use tokio::sync::watch;

use super::space::Reservation;
use super::spool::Spool;
use crate::access::GroupId;
use crate::body::Piece;
use crate::cache::error::FetchError;
use crate::cache::sync::lock;
use crate::upstream::UpstreamError;

/// Bytes that arrive from an upstream.
pub(in crate::cache) type Incoming = BoxStream<'static, Result<Bytes, UpstreamError>>;

/// The group and image that a blob is requested for. Only requests of the same group for the same
/// image share a failure: the upstream may treat others differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cache) struct Requester {
    pub(in crate::cache) group: GroupId,
    /// The image's name in the database.
    pub(in crate::cache) image: String,
}

/// One in-flight fetch.
#[derive(Debug)]
pub(in crate::cache) struct Fetch {
    leader: Requester,
    /// The file readers read, and its reservation, which lasts until the last reader is done.
    spool: OnceLock<(Arc<File>, Arc<Reservation>)>,
    progress: watch::Sender<Progress>,
    granted: Mutex<GrantedGroups>,
}

/// The groups that may see the blob once it is stored.
#[derive(Debug)]
struct GrantedGroups {
    groups: HashSet<GroupId>,
    /// Set when the commit has taken the groups: a group that is granted later must write its own
    /// link.
    closed: bool,
}

#[derive(Debug, Clone)]
struct Progress {
    phase: Phase,
    /// How many bytes readers may read.
    readable: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// The upstream has not responded yet.
    Requesting,
    Streaming {
        length: Option<u64>,
    },
    Complete,
    Detached(Arc<Detached>),
    Superseded,
    Failed(FetchError),
}

/// Where a fetch left its spool, and what a reader needs to continue alone from there.
pub(in crate::cache) struct Detached {
    /// The length of the whole blob in bytes, if the upstream announced it.
    pub(in crate::cache) length: Option<u64>,
    /// How many bytes are spooled.
    pub(in crate::cache) spooled: u64,
    /// The hash of the spooled bytes.
    pub(in crate::cache) hasher: Hasher,
    /// The rest of the upstream's response.
    rest: Mutex<Option<Incoming>>,
}

/// How a fetch started.
#[derive(Debug)]
pub(in crate::cache) enum Start {
    /// The upstream sends the blob and announced this length.
    Streaming { length: Option<u64> },
    /// It was not needed, because the blob is already stored: the request looks it up again.
    Superseded,
}

/// The next part a reader gets.
pub(in crate::cache) enum NextRead {
    /// These positions of the blob, starting where the reader is.
    Piece(Piece, Range<u64>),
    /// The spool ends here: the reader continues alone.
    Detached(Arc<Detached>),
    /// The reader has everything.
    End,
}

impl Fetch {
    pub(super) fn new(leader: Requester) -> Self {
        let groups = HashSet::from([leader.group]);
        Self {
            leader,
            spool: OnceLock::new(),
            progress: watch::Sender::new(Progress { phase: Phase::Requesting, readable: 0 }),
            granted: Mutex::new(GrantedGroups { groups, closed: false }),
        }
    }

    /// Waits until the upstream's response headers arrived.
    pub(in crate::cache) async fn started(&self) -> Result<Start, FetchError> {
        let mut progress = self.progress.subscribe();
        let started = progress.wait_for(|now| !matches!(now.phase, Phase::Requesting)).await;
        let started = started.map_err(|_| FetchError::Internal)?;
        let Progress { phase, readable } = started.clone();
        match phase {
            Phase::Streaming { length } => Ok(Start::Streaming { length }),
            Phase::Detached(detached) => Ok(Start::Streaming { length: detached.length }),
            Phase::Complete => Ok(Start::Streaming { length: Some(readable) }),
            Phase::Requesting | Phase::Superseded => Ok(Start::Superseded),
            Phase::Failed(error) => Err(error),
        }
    }

    /// Returns whether this requester leads the fetch or sent the same request as its leader, so
    /// that the fetch's failure is the requester's failure too.
    pub(in crate::cache) fn is_led_by(&self, requester: &Requester) -> bool {
        self.leader == *requester
    }

    /// Grants a group access to the fetch. Returns `false` if the links are already being written:
    /// the group needs a link of its own.
    pub(in crate::cache) fn grant(&self, group: GroupId) -> bool {
        let mut granted = lock(&self.granted);
        if !granted.closed {
            granted.groups.insert(group);
        }
        !granted.closed
    }

    pub(super) fn is_granted(&self, group: GroupId) -> bool {
        lock(&self.granted).groups.contains(&group)
    }

    pub(super) fn close_granted_groups(&self) -> Vec<GroupId> {
        let mut granted = lock(&self.granted);
        granted.closed = true;
        granted.groups.iter().copied().collect()
    }

    /// Waits for bytes at `wanted.start` and returns them; `wanted.end` may lie beyond the end of
    /// the blob.
    pub(in crate::cache) async fn next(&self, wanted: Range<u64>) -> io::Result<NextRead> {
        if wanted.is_empty() {
            return Ok(NextRead::End);
        }
        let mut progress = self.progress.subscribe();
        let reached = |now: &Progress| now.readable > wanted.start || now.phase.is_over();
        let Progress { phase, readable } =
            progress.wait_for(reached).await.map_err(io::Error::other)?.clone();
        match phase {
            Phase::Failed(error) => Err(io::Error::other(error.to_string())),
            Phase::Superseded => Err(io::Error::other("the fetch was superseded")),
            _ if readable > wanted.start => self.piece(wanted.start..readable.min(wanted.end)),
            Phase::Detached(detached) => Ok(NextRead::Detached(detached)),
            _ => Ok(NextRead::End),
        }
    }

    fn piece(&self, range: Range<u64>) -> io::Result<NextRead> {
        let (file, _) = self.spool.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(NextRead::Piece(Piece::File(Arc::clone(file), range.clone()), range))
    }

    pub(super) fn set_spool(&self, spool: &Spool) {
        let _ = self.spool.set((Arc::clone(spool.file()), Arc::clone(spool.reservation())));
    }

    pub(super) fn publish(&self, phase: Phase, readable: u64) {
        self.progress.send_replace(Progress { phase, readable });
    }

    /// Ends the fetch in this phase unless it has already ended. What was readable stays readable
    /// if the phase allows it.
    pub(super) fn end(&self, phase: Phase) {
        self.progress.send_if_modified(|now| {
            let running = !now.phase.is_over();
            if running {
                now.phase = phase;
            }
            running
        });
    }
}

impl Phase {
    fn is_over(&self) -> bool {
        !matches!(self, Self::Requesting | Self::Streaming { .. })
    }
}

impl Detached {
    /// `rest` are the bytes from `spooled` on, for the first reader that takes them.
    pub(in crate::cache) fn new(
        length: Option<u64>,
        spooled: u64,
        hasher: Hasher,
        rest: Incoming,
    ) -> Self {
        Self { length, spooled, hasher, rest: Mutex::new(Some(rest)) }
    }

    /// Takes the rest of the upstream's response; `None` if another reader has taken it.
    pub(in crate::cache) fn take_rest(&self) -> Option<Incoming> {
        lock(&self.rest).take()
    }
}

impl std::fmt::Debug for Detached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detached").field("spooled", &self.spooled).finish_non_exhaustive()
    }
}
