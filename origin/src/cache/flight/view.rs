//! A fetch as its readers see it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use oci::Hasher;
use tokio::sync::watch;

use super::room::Reservation;
use super::spool::Spool;
use crate::body::Piece;
use crate::cache::lock;
use crate::db::groups::GroupId;
use crate::upstream::UpstreamError;

/// Bytes on their way from an upstream.
pub(in crate::cache) type Incoming = BoxStream<'static, Result<Bytes, UpstreamError>>;

/// On whose behalf a blob is fetched, and from where: only such requests share a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cache) struct Boarder {
    pub(in crate::cache) group: GroupId,
    /// The image, as rows know it.
    pub(in crate::cache) image: String,
}

/// One fetch.
#[derive(Debug)]
pub(in crate::cache) struct Flight {
    leader: Boarder,
    spool: OnceLock<(Arc<File>, Arc<Reservation>)>,
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
pub(super) enum Phase {
    Asking,
    Streaming { length: Option<u64> },
    Complete,
    Grounded(Arc<Grounding>),
    Moot,
    Failed(UpstreamError),
}

/// Where a spool stopped growing, and what a reader needs to go on alone from there.
pub(in crate::cache) struct Grounding {
    /// The whole blob's length in bytes, where the upstream said.
    pub(in crate::cache) length: Option<u64>,
    /// How many bytes are spooled.
    pub(in crate::cache) at: u64,
    /// Their hash so far.
    pub(in crate::cache) hasher: Hasher,
    rest: Mutex<Option<Incoming>>,
}

/// How a fetch began.
pub(in crate::cache) enum Departure {
    /// Bytes are coming, this many where the upstream said.
    Streaming { length: Option<u64> },
    /// It never began, as the blob was found stored: look again.
    Moot,
}

/// What a reader gets next.
pub(in crate::cache) enum Next {
    /// These positions, which begin where it stood.
    Piece(Piece, Range<u64>),
    /// Nothing more is spooled: it goes on alone.
    Grounded(Arc<Grounding>),
    /// It has everything.
    End,
}

impl Flight {
    pub(super) fn new(leader: Boarder) -> Self {
        let groups = HashSet::from([leader.group]);
        Self {
            leader,
            spool: OnceLock::new(),
            progress: watch::Sender::new(Progress { phase: Phase::Asking, available: 0 }),
            passengers: Mutex::new(Passengers { groups, written: false }),
        }
    }

    /// Waits until the upstream's headers are there.
    pub(in crate::cache) async fn departure(&self) -> Result<Departure, UpstreamError> {
        let mut progress = self.progress.subscribe();
        let begun = progress.wait_for(|now| !matches!(now.phase, Phase::Asking)).await;
        let Ok(Progress { phase, available }) = begun.map(|now| now.clone()) else {
            return Ok(Departure::Moot);
        };
        match phase {
            Phase::Streaming { length } => Ok(Departure::Streaming { length }),
            Phase::Grounded(grounding) => Ok(Departure::Streaming { length: grounding.length }),
            Phase::Complete => Ok(Departure::Streaming { length: Some(available) }),
            Phase::Failed(error) => Err(error),
            Phase::Asking | Phase::Moot => Ok(Departure::Moot),
        }
    }

    /// Whether its failure is this request's failure too: it asked the same of the same upstream.
    pub(in crate::cache) fn is_led_for(&self, boarder: &Boarder) -> bool {
        self.leader == *boarder
    }

    /// Lets another group in. `false`: the links are written already, the group needs its own.
    pub(in crate::cache) fn grant(&self, group: GroupId) -> bool {
        let mut passengers = lock(&self.passengers);
        if !passengers.written {
            passengers.groups.insert(group);
        }
        !passengers.written
    }

    pub(super) fn carries(&self, group: GroupId) -> bool {
        lock(&self.passengers).groups.contains(&group)
    }

    pub(super) fn close_list(&self) -> Vec<GroupId> {
        let mut passengers = lock(&self.passengers);
        passengers.written = true;
        passengers.groups.iter().copied().collect()
    }

    /// What follows at `wanted.start`, as soon as there is something; `wanted.end` may lie beyond
    /// the end.
    pub(in crate::cache) async fn next(&self, wanted: Range<u64>) -> io::Result<Next> {
        if wanted.is_empty() {
            return Ok(Next::End);
        }
        let mut progress = self.progress.subscribe();
        let reached = |now: &Progress| now.available > wanted.start || now.phase.is_over();
        let Progress { phase, available } =
            progress.wait_for(reached).await.map_err(io::Error::other)?.clone();
        match phase {
            Phase::Failed(error) => Err(io::Error::other(error.to_string())),
            Phase::Moot => Err(io::Error::other("the fetch was given up")),
            _ if available > wanted.start => self.piece(wanted.start..available.min(wanted.end)),
            Phase::Grounded(grounding) => Ok(Next::Grounded(grounding)),
            _ => Ok(Next::End),
        }
    }

    fn piece(&self, range: Range<u64>) -> io::Result<Next> {
        let (file, _) = self.spool.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(Next::Piece(Piece::File(Arc::clone(file), range.clone()), range))
    }

    pub(super) fn grows_in(&self, spool: &Spool) {
        let _ = self.spool.set((Arc::clone(spool.file()), Arc::clone(spool.room())));
    }

    pub(super) fn publish(&self, phase: Phase, available: u64) {
        self.progress.send_replace(Progress { phase, available });
    }

    /// Ends it in this phase, unless it ended already; readers keep what they may have.
    pub(super) fn end(&self, phase: Phase) {
        self.progress.send_if_modified(|now| {
            let open = !now.phase.is_over();
            if open {
                now.phase = phase;
            }
            open
        });
    }
}

impl Phase {
    fn is_over(&self) -> bool {
        !matches!(self, Self::Asking | Self::Streaming { .. })
    }
}

impl Grounding {
    /// `rest` are the bytes from `at` on, for the one reader that takes them.
    pub(in crate::cache) fn new(
        length: Option<u64>,
        at: u64,
        hasher: Hasher,
        rest: Incoming,
    ) -> Self {
        Self { length, at, hasher, rest: Mutex::new(Some(rest)) }
    }

    /// The bytes from `at` on; `None` where somebody has taken them.
    pub(in crate::cache) fn take_rest(&self) -> Option<Incoming> {
        lock(&self.rest).take()
    }
}

impl std::fmt::Debug for Grounding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grounding").field("at", &self.at).finish_non_exhaustive()
    }
}
