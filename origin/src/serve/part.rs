//! A part of a body in hyper's queue.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::exchange::Exchange;
use super::line::{Break, Line, placeholder};

/// Bytes, or a placeholder for bytes of a file.
///
/// hyper's queue (HTTP/1 with vectored writes) asks for [`Buf::chunks_vectored`], counts with
/// [`Buf::advance`] and looks at nothing else. Whoever would *copy* asks for [`Buf::chunk`]: that
/// gives no placeholder away and ends the connection before its next write.
#[derive(Debug)]
pub(super) struct Part {
    content: Content,
    exchange: Arc<Exchange>,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    File { left: usize, line: Arc<Line> },
}

impl Part {
    pub(super) fn bytes(bytes: Bytes, exchange: Arc<Exchange>) -> Self {
        Self { content: Content::Bytes(bytes), exchange }
    }

    /// The caller promised these bytes to the line.
    pub(super) fn file(length: usize, line: Arc<Line>, exchange: Arc<Exchange>) -> Self {
        Self { content: Content::File { left: length, line }, exchange }
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::File { left, .. } => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::File { line, .. } => {
                line.end(Break::Source);
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
        self.exchange.sent(length);
        match &mut self.content {
            Content::Bytes(bytes) => bytes.advance(length),
            Content::File { left, .. } => *left = left.saturating_sub(length),
        }
    }
}

impl Drop for Part {
    /// A promise that nobody asks for any more would be kept to the next placeholder.
    fn drop(&mut self) {
        if let Content::File { left: 1.., line } = &self.content {
            line.end(Break::Lost);
        }
    }
}
