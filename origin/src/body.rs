//! Bytes on their way to a client, and reading files without holding the runtime up.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _, try_unfold};

/// A part of a body: in memory, or still in a file, from where a connection may send it without
/// copying it through here.
#[derive(Debug, Clone)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// These positions of a file, which is at least that long.
    File(Arc<File>, Range<u64>),
}

/// The parts of a body in order; an error cuts the client off.
pub type Pieces = BoxStream<'static, io::Result<Piece>>;

/// The parts of a response's body, in its extensions: a connection that can send files takes them
/// in place of the body, which gives the same bytes to all others.
#[derive(Clone)]
pub(crate) struct Detached(Arc<Mutex<Option<Pieces>>>);

impl Detached {
    /// `None` where they are gone: the body is being read.
    pub(crate) fn take(&self) -> Option<Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A response of these parts, sent from files where the connection can.
pub(crate) fn response(pieces: Pieces) -> Response {
    let detached = Detached(Arc::new(Mutex::new(Some(pieces))));
    let pieces = detached.clone();
    let taken = io::Error::other("the body went another way");
    let bytes = futures_util::stream::once(async move { pieces.take().ok_or(taken) });
    let mut response = Response::new(Body::from_stream(bytes.map_ok(bytes_of).try_flatten()));
    response.extensions_mut().insert(detached);
    response
}

/// A body's bytes, read chunk by chunk.
pub(crate) fn bytes_of(pieces: Pieces) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    pieces.map_ok(chunks_of).try_flatten()
}

fn chunks_of(piece: Piece) -> BoxStream<'static, io::Result<Bytes>> {
    match piece {
        Piece::Bytes(bytes) => futures_util::stream::once(async { Ok(bytes) }).boxed(),
        Piece::File(file, range) => try_unfold(range, move |range| {
            let file = Arc::clone(&file);
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let bytes = read_at(file, range.start, range.end - range.start).await?;
                let next = range.start + bytes.len() as u64..range.end;
                Ok(Some((bytes, next)))
            }
        })
        .boxed(),
    }
}

/// What one read takes at most: large enough to amortise a thread switch, small enough that a
/// few hundred streams fit into memory.
const CHUNK: u64 = 256 * 1024;

/// Up to `limit` bytes at `offset`; fewer where the chunk is smaller, an error at the file's end.
pub(crate) async fn read_at(file: Arc<File>, offset: u64, limit: u64) -> io::Result<Bytes> {
    let length = usize::try_from(limit.min(CHUNK)).unwrap_or(usize::MAX);
    blocking(move || {
        let mut buffer = BytesMut::zeroed(length);
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(read);
        Ok(buffer.freeze())
    })
    .await
}

/// Runs file work on the runtime's blocking threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
