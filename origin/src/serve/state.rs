//! The state of one connection that its timeouts depend on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sendfile::{Failure, FileQueue};
use tokio::time::Instant;

use crate::config;

/// One connection, as its requests, its socket and its timeouts see it.
#[derive(Debug)]
pub(super) struct ConnectionState {
    limits: config::Limits,
    queue: Arc<FileQueue>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Requests whose responses are not sent to their end.
    requests: usize,
    http2: bool,
    phase: Phase,
    /// Since when the client has read nothing of the data that is waiting for it.
    stalled: Option<Instant>,
    closed: Option<CloseReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for the rest of a request's head.
    Head(Instant),
    /// Responding to requests.
    Busy,
    /// Between two requests.
    Idle(Instant),
}

/// Why this side closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The body of a response cannot be sent to its end.
    Source,
    /// hyper gave the connection up with data unsent.
    Lost,
    /// `head_timeout`: the head of a request did not arrive.
    HeadTimeout,
    /// `idle_timeout`: no request arrived.
    IdleTimeout,
    /// `send_timeout`: the client read nothing.
    SendTimeout,
    /// The origin stops, and `shutdown_timeout` is over.
    Shutdown,
}

impl ConnectionState {
    pub(super) fn new(limits: config::Limits) -> Self {
        let inner = Inner {
            requests: 0,
            http2: false,
            phase: Phase::Head(Instant::now()),
            stalled: None,
            closed: None,
        };
        Self { limits, queue: FileQueue::new(), inner: Mutex::new(inner) }
    }

    /// Returns the queue of files that this connection sends.
    pub(super) fn queue(&self) -> &Arc<FileQueue> {
        &self.queue
    }

    /// Records why the connection is closed; the first reason is kept. If a response is cut by it,
    /// nothing more is written, and the socket is reset.
    pub(super) fn close(&self, reason: CloseReason) {
        if self.close_reason().is_none() {
            self.lock().closed = Some(reason);
        }
        if matches!(reason, CloseReason::SendTimeout | CloseReason::Shutdown) {
            self.queue.abort();
        }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        let failed = self.queue.failure().and_then(|failure| match failure {
            Failure::Source => Some(CloseReason::Source),
            Failure::Lost => Some(CloseReason::Lost),
            // `close` has recorded the reason.
            Failure::Aborted => None,
        });
        self.lock().closed.or(failed)
    }

    pub(super) fn begin_request(&self, http2: bool) {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.http2 = http2;
        inner.phase = Phase::Busy;
    }

    pub(super) fn end_request(&self) {
        let mut inner = self.lock();
        inner.requests = inner.requests.saturating_sub(1);
        if inner.requests == 0 {
            inner.phase = Phase::Idle(Instant::now());
        }
    }

    /// The client sent something. Between requests that is the head of the next one, except in
    /// HTTP/2, where it may be a ping.
    pub(super) fn received(&self) {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::Idle(_)) && !inner.http2 {
            inner.phase = Phase::Head(Instant::now());
        }
    }

    /// The socket accepted data.
    pub(super) fn sent(&self) {
        self.lock().stalled = None;
    }

    /// The socket accepted no data.
    pub(super) fn stalled(&self) {
        self.lock().stalled.get_or_insert_with(Instant::now);
    }

    /// Waits until a timeout of the client has passed.
    pub(super) async fn timed_out(&self) -> CloseReason {
        loop {
            let (deadline, reason) = self.deadline();
            if deadline <= Instant::now() {
                return reason;
            }
            // A phase that begins while this sleeps ends no earlier than the shortest limit from now.
            let shortest = Instant::now() + self.shortest_limit();
            tokio::time::sleep_until(deadline.min(shortest)).await;
        }
    }

    fn deadline(&self) -> (Instant, CloseReason) {
        let inner = self.lock();
        let limits = &self.limits;
        let never = Instant::now() + Duration::from_hours(1);
        let phase = match inner.phase {
            Phase::Head(since) => (since + limits.head_timeout, CloseReason::HeadTimeout),
            Phase::Idle(since) => (since + limits.idle_timeout, CloseReason::IdleTimeout),
            Phase::Busy => (never, CloseReason::IdleTimeout),
        };
        let stall =
            inner.stalled.map(|since| (since + limits.send_timeout, CloseReason::SendTimeout));
        stall.filter(|stall| stall.0 < phase.0).unwrap_or(phase)
    }

    fn shortest_limit(&self) -> Duration {
        self.limits.head_timeout.min(self.limits.idle_timeout).min(self.limits.send_timeout)
    }

    /// A poisoned lock is used on: each holder moves whole values, so a panic leaves none half done.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
