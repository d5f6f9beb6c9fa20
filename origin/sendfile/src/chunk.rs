//! A part of a body in hyper's queue.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::body::Observer;
use crate::queue::{Failure, FileQueue, placeholder};

/// Bytes, or a placeholder for bytes of a file.
///
/// hyper's queue reads a chunk with [`Buf::chunks_vectored`] and counts it with [`Buf::advance`]. Code
/// that *copies* calls [`Buf::chunk`] instead; for a placeholder that returns nothing, and fails the
/// connection before its next write, so that a client never gets the placeholder's zeros.
#[derive(Debug)]
pub struct Chunk {
    content: Content,
    observer: Arc<dyn Observer>,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    File { left: usize, queue: Arc<FileQueue> },
}

impl Chunk {
    pub(crate) fn bytes(bytes: Bytes, observer: Arc<dyn Observer>) -> Self {
        Self { content: Content::Bytes(bytes), observer }
    }

    /// The caller has pushed the range to the queue.
    pub(crate) fn file(length: usize, queue: Arc<FileQueue>, observer: Arc<dyn Observer>) -> Self {
        Self { content: Content::File { left: length, queue }, observer }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::File { left, .. } => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::File { queue, .. } => {
                queue.fail(Failure::Source);
                &[]
            }
        }
    }

    fn chunks_vectored<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        let bytes = match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::File { left, .. } => placeholder(*left),
        };
        match slices.first_mut() {
            Some(slice) if !bytes.is_empty() => {
                *slice = IoSlice::new(bytes);
                1
            }
            _ => 0,
        }
    }

    fn advance(&mut self, length: usize) {
        self.observer.sent(length);
        match &mut self.content {
            Content::Bytes(bytes) => bytes.advance(length),
            Content::File { left, .. } => *left = left.saturating_sub(length),
        }
    }
}

impl Drop for Chunk {
    /// The range of a placeholder that never reached the socket would be sent in the place of the next
    /// one.
    fn drop(&mut self) {
        if let Content::File { left: 1.., queue } = &self.content {
            queue.fail(Failure::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::is_placeholder;

    #[derive(Debug)]
    struct Ignore;

    impl Observer for Ignore {
        fn sent(&self, _: usize) {}
        fn ended(&self) {}
        fn failed(&self) {}
    }

    fn file(length: usize, queue: &Arc<FileQueue>) -> Chunk {
        Chunk::file(length, Arc::clone(queue), Arc::new(Ignore))
    }

    #[test]
    fn a_placeholder_is_visible_to_vectored_writes_only() {
        let queue = FileQueue::new();
        let mut chunk = file(3, &queue);
        let mut slices = [IoSlice::new(b"x")];
        assert_eq!(chunk.chunks_vectored(&mut slices), 1);
        assert!(is_placeholder(&slices[0]) && slices[0].len() == 3);
        assert_eq!(queue.failure(), None);
        assert_eq!((chunk.chunk(), queue.failure()), (&b""[..], Some(Failure::Source)));
        chunk.advance(3);
    }

    #[test]
    fn a_placeholder_that_is_dropped_unsent_fails_the_connection() {
        let queue = FileQueue::new();
        drop(file(1, &queue));
        assert_eq!(queue.failure(), Some(Failure::Lost));
        assert!(queue.check().is_err());
    }

    #[test]
    fn a_placeholder_that_was_sent_may_be_dropped() {
        let queue = FileQueue::new();
        let mut chunk = file(2, &queue);
        chunk.advance(2);
        drop(chunk);
        assert_eq!(queue.failure(), None);
    }
}
