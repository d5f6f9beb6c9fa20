//! What the parts of one connection know of each other: the bodies, the socket, the clock.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// What one placeholder stands for at most, and so what one `sendfile` may take: a cold page holds
/// the thread up, and the other connections with it.
pub(super) const SLICE: usize = 1024 * 1024;

/// Stands in hyper's queue for bytes that are still in a file. Never written to, hence never in
/// memory; told apart from real bytes by its address.
static PLACEHOLDER: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; SLICE]);

pub(super) fn placeholder(length: usize) -> &'static [u8] {
    PLACEHOLDER.get(..length).unwrap_or_default()
}

pub(super) fn is_placeholder(bytes: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    limits: config::Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the placeholders in hyper's queue stand for, in its order.
    promises: VecDeque<Promise>,
    /// Requests whose answers are not sent to their end.
    requests: usize,
    http2: bool,
    phase: Phase,
    /// Since when the client takes nothing of what is to be sent.
    stalled: Option<Instant>,
    broken: Option<Break>,
}

/// These positions of a file go to the client next.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub(super) file: Arc<File>,
    pub(super) range: Range<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request's head is awaited or half there.
    Head(Instant),
    /// Requests are being answered.
    Busy,
    /// Between two requests.
    Idle(Instant),
}

/// Why this side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// What was promised cannot be sent, or could be mistaken for it.
    Source,
    /// A placeholder was dropped: hyper gave the connection up, or is out of step.
    Lost,
    /// No whole request's head in time.
    Head,
    /// No request in time.
    Idle,
    /// The client took nothing in time.
    Stalled,
    /// The origin stops.
    Shutdown,
}

impl Line {
    pub(super) fn new(limits: config::Limits) -> Self {
        let state = State {
            promises: VecDeque::new(),
            requests: 0,
            http2: false,
            phase: Phase::Head(Instant::now()),
            stalled: None,
            broken: None,
        };
        Self { limits, state: Mutex::new(state) }
    }

    pub(super) fn promise(&self, file: Arc<File>, range: Range<u64>) {
        self.lock().promises.push_back(Promise { file, range });
    }

    /// What a placeholder of this length stands for.
    ///
    /// # Errors
    /// For nothing: bytes were lost on the way, and the connection must end.
    pub(super) fn due(&self, length: usize) -> io::Result<Promise> {
        let mut state = self.lock();
        let due = state.promises.front().cloned();
        let holds = |due: &Promise| due.range.end.saturating_sub(due.range.start) >= length as u64;
        due.filter(holds).ok_or_else(|| {
            state.broken.get_or_insert(Break::Source);
            mismatch()
        })
    }

    /// So many bytes of it are sent.
    pub(super) fn kept(&self, length: usize) {
        let mut state = self.lock();
        if let Some(due) = state.promises.front_mut() {
            due.range.start = due.range.start.saturating_add(length as u64);
            if due.range.is_empty() {
                state.promises.pop_front();
            }
        }
    }

    /// Nothing more may be sent; the first reason stays.
    pub(super) fn end(&self, reason: Break) {
        self.lock().broken.get_or_insert(reason);
    }

    pub(super) fn broken(&self) -> Option<Break> {
        self.lock().broken
    }

    /// # Errors
    /// Nothing more may be sent.
    pub(super) fn check(&self) -> io::Result<()> {
        self.broken().map_or(Ok(()), |_| Err(mismatch()))
    }

    pub(super) fn begin_request(&self, http2: bool) {
        let mut state = self.lock();
        state.requests += 1;
        state.http2 = http2;
        state.phase = Phase::Busy;
    }

    pub(super) fn end_request(&self) {
        let mut state = self.lock();
        state.requests = state.requests.saturating_sub(1);
        if state.requests == 0 {
            state.phase = Phase::Idle(Instant::now());
        }
    }

    /// The client sent something. Between requests that is the next one's head, unless it is
    /// HTTP/2, where it may be a ping.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Idle(_)) && !state.http2 {
            state.phase = Phase::Head(Instant::now());
        }
    }

    pub(super) fn flows(&self) {
        self.lock().stalled = None;
    }

    pub(super) fn stalls(&self) {
        self.lock().stalled.get_or_insert_with(Instant::now);
    }

    /// Waits until the client has overstayed.
    pub(super) async fn overstayed(&self) -> Break {
        loop {
            let (deadline, reason) = self.deadline();
            if deadline <= Instant::now() {
                return reason;
            }
            // What begins from now on ends no earlier than the shortest limit from now.
            let shortest = Instant::now() + self.shortest();
            tokio::time::sleep_until(deadline.min(shortest)).await;
        }
    }

    fn deadline(&self) -> (Instant, Break) {
        let state = self.lock();
        let limits = &self.limits;
        let never = Instant::now() + Duration::from_hours(1);
        let phase = match state.phase {
            Phase::Head(since) => (since + limits.head_timeout, Break::Head),
            Phase::Idle(since) => (since + limits.idle_timeout, Break::Idle),
            Phase::Busy => (never, Break::Idle),
        };
        let stall = state.stalled.map(|since| (since + limits.send_timeout, Break::Stalled));
        stall.filter(|stall| stall.0 < phase.0).unwrap_or(phase)
    }

    fn shortest(&self) -> Duration {
        self.limits.head_timeout.min(self.limits.idle_timeout).min(self.limits.send_timeout)
    }

    /// A holder only moves values, so what a panicking one left behind is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mismatch() -> io::Error {
    io::Error::other("the connection's bytes are out of step")
}
