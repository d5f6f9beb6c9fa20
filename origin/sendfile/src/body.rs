//! A response body that hyper sends.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::{Frame, SizeHint};

use crate::chunk::Chunk;
use crate::piece::{Piece, Pieces};
use crate::queue::{Failure, FileQueue, MAX_RANGE};

/// The error of a body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Follows a body to the network. The body and all its chunks in hyper's queue share it, so it is
/// dropped when the last byte was sent or discarded.
pub trait Observer: fmt::Debug + Send + Sync {
    /// These many bytes were given to the network.
    fn sent(&self, bytes: usize);
    /// The source of the body is exhausted.
    fn ended(&self);
    /// The source of the body failed.
    fn failed(&self);
}

/// A body that is either streamed from memory or sent from files, followed by an [`Observer`].
pub struct Body<B> {
    source: Source<B>,
    observer: Arc<dyn Observer>,
}

enum Source<B> {
    Stream(B),
    /// `rest` is what is left of the current piece.
    Pieces {
        pieces: Pieces,
        queue: Arc<FileQueue>,
        rest: Option<(Arc<File>, Range<u64>)>,
    },
}

impl<B> Body<B> {
    /// Streams another body.
    pub fn stream(body: B, observer: Arc<dyn Observer>) -> Self {
        Self { source: Source::Stream(body), observer }
    }

    /// Sends pieces over the HTTP/1 connection to which `queue` belongs. Its socket must be a
    /// [`SendfileStream`](crate::SendfileStream) with the same queue.
    pub fn pieces(pieces: Pieces, queue: Arc<FileQueue>, observer: Arc<dyn Observer>) -> Self {
        Self { source: Source::Pieces { pieces, queue, rest: None }, observer }
    }
}

impl<B> fmt::Debug for Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Chunk;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, BoxError>>> {
        let Self { source, observer } = self.get_mut();
        let frame = ready!(source.poll(cx, observer));
        match &frame {
            None => observer.ended(),
            Some(Err(_)) => observer.failed(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(body) => body.is_end_stream(),
            Source::Pieces { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(body) => body.size_hint(),
            Source::Pieces { .. } => SizeHint::default(),
        }
    }
}

impl<B> Source<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        observer: &Arc<dyn Observer>,
    ) -> Poll<Option<Result<Frame<Chunk>, BoxError>>> {
        match self {
            Self::Stream(body) => Pin::new(body).poll_frame(cx).map(|frame| {
                let chunk = |bytes| Chunk::bytes(bytes, Arc::clone(observer));
                frame.map(|frame| Ok(frame.map_err(Into::into)?.map_data(chunk)))
            }),
            Self::Pieces { pieces, queue, rest } => {
                let chunk = poll_pieces(pieces, queue, rest, observer, cx);
                chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }
}

fn poll_pieces(
    pieces: &mut Pieces,
    queue: &Arc<FileQueue>,
    rest: &mut Option<(Arc<File>, Range<u64>)>,
    observer: &Arc<dyn Observer>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Chunk, BoxError>>> {
    loop {
        if let Some((file, range)) = rest.take_if(|(_, range)| !range.is_empty()) {
            let middle = range.end.min(range.start.saturating_add(MAX_RANGE as u64));
            let length = usize::try_from(middle - range.start).unwrap_or(MAX_RANGE);
            queue.push(Arc::clone(&file), range.start..middle);
            *rest = Some((file, middle..range.end));
            let chunk = Chunk::file(length, Arc::clone(queue), Arc::clone(observer));
            return Poll::Ready(Some(Ok(chunk)));
        }
        match ready!(pieces.poll_next_unpin(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => {
                // hyper may end such a connection in good order; to an HTTP/1.0 client that is the
                // end of the body.
                queue.fail(Failure::Source);
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(Piece::File(file, range))) => *rest = Some((file, range)),
            Some(Ok(Piece::Bytes(bytes))) if bytes.is_empty() => {}
            Some(Ok(Piece::Bytes(bytes))) => {
                return Poll::Ready(Some(Ok(Chunk::bytes(bytes, Arc::clone(observer)))));
            }
        }
    }
}
