//! The file ranges of one connection that placeholders stand for, and the placeholders themselves.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The longest range behind one placeholder, and so of one call of `sendfile`. The call blocks its
/// thread while it reads pages that are not cached, and with it the other connections.
pub(crate) const MAX_RANGE: usize = 1024 * 1024;

/// Stands in hyper's queue for bytes that are still in a file; recognised by its address. Its pages
/// are zero and never written to, so the kernel never allocates them.
static PLACEHOLDER: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; MAX_RANGE]);

pub(crate) fn placeholder(length: usize) -> &'static [u8] {
    PLACEHOLDER.get(..length).unwrap_or_default()
}

pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

/// Why nothing more may be written to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The bytes that come next cannot be sent, or others could be sent in their place.
    Source,
    /// hyper dropped a placeholder: it gave up the connection, or the queue no longer matches.
    Lost,
    /// The owner of the connection called [`FileQueue::abort`].
    Aborted,
}

/// A range of a file that goes to the client.
#[derive(Debug, Clone)]
pub(crate) struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
}

impl FileRange {
    fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// The file ranges of one connection, in the order of their placeholders in hyper's queue.
#[derive(Debug, Default)]
pub struct FileQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ranges: VecDeque<FileRange>,
    failure: Option<Failure>,
}

impl FileQueue {
    /// Makes the queue of a new connection.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Forbids further writes. The socket is reset when it is dropped.
    pub fn abort(&self) {
        self.fail(Failure::Aborted);
    }

    /// Returns the first failure of the connection.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failure
    }

    /// Appends the range of the next placeholder.
    pub(crate) fn push(&self, file: Arc<File>, range: Range<u64>) {
        self.lock().ranges.push_back(FileRange { file, range });
    }

    /// Returns the range behind a placeholder of this length.
    ///
    /// # Errors
    /// There is none, so bytes were lost on the way through hyper, and the connection must end.
    pub(crate) fn front(&self, length: usize) -> io::Result<FileRange> {
        let mut state = self.lock();
        let range = state.ranges.front().cloned();
        range.filter(|range| range.length() >= length as u64).ok_or_else(|| {
            state.failure.get_or_insert(Failure::Source);
            out_of_step()
        })
    }

    /// Removes bytes that were sent from the first range.
    pub(crate) fn consume(&self, length: usize) {
        let mut state = self.lock();
        if let Some(first) = state.ranges.front_mut() {
            first.range.start = first.range.start.saturating_add(length as u64);
            if first.range.is_empty() {
                state.ranges.pop_front();
            }
        }
    }

    /// Forbids further writes; the first reason is kept.
    pub(crate) fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
    }

    /// # Errors
    /// The connection has failed.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.failure().map_or(Ok(()), |_| Err(out_of_step()))
    }

    /// A poisoned lock is used on: each holder moves whole values, so a panic leaves none half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn out_of_step() -> io::Error {
    io::Error::other("nothing more may be sent on this connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_recognised_by_its_address() {
        assert!(is_placeholder(placeholder(1)) && is_placeholder(placeholder(MAX_RANGE)));
        assert!(!is_placeholder(&[0; 10]));
    }

    #[test]
    fn a_placeholder_without_a_range_fails_the_connection() {
        let queue = FileQueue::new();
        queue.push(Arc::new(tempfile::tempfile().unwrap()), 0..10);
        assert_eq!(queue.front(10).unwrap().range, 0..10);
        queue.consume(4);
        assert_eq!(queue.front(6).unwrap().range, 4..10);
        assert!(queue.front(7).is_err());
        assert_eq!(queue.failure(), Some(Failure::Source));
    }

    #[test]
    fn the_first_failure_is_kept() {
        let queue = FileQueue::new();
        assert!(queue.check().is_ok());
        queue.abort();
        queue.fail(Failure::Lost);
        assert_eq!(queue.failure(), Some(Failure::Aborted));
        assert!(queue.check().is_err());
    }
}
