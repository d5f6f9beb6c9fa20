//! Response bodies made of bytes and file ranges, and file reads that do not block the runtime.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _, try_unfold};

/// A part of a body: bytes in memory, or a range of a file, which a connection may send without
/// copying it through user space.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of positions in a file, all of which exist.
    File(Arc<File>, Range<u64>),
}

/// The parts of a body, in order. An error aborts the response.
pub type Pieces = BoxStream<'static, io::Result<Piece>>;

/// The parts of a response's body, kept in the response's extensions. A connection that can send
/// files takes them and ignores the body; for every other connection, the body yields the same bytes.
#[derive(Clone)]
pub(crate) struct Detached(Arc<Mutex<Option<Pieces>>>);

impl Detached {
    /// Takes the parts; `None` if the body is already being read.
    pub(crate) fn take(&self) -> Option<Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Builds a response from these parts, which are sent straight from files if the connection can.
pub(crate) fn response(pieces: Pieces) -> Response {
    let detached = Detached(Arc::new(Mutex::new(Some(pieces))));
    let pieces = detached.clone();
    let taken = io::Error::other("the parts of the body were already taken");
    let bytes = futures_util::stream::once(async move { pieces.take().ok_or(taken) });
    let mut response = Response::new(Body::from_stream(bytes.map_ok(bytes_of).try_flatten()));
    response.extensions_mut().insert(detached);
    response
}

/// Returns a body's bytes, read chunk by chunk.
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

/// The most bytes of one read: large enough to amortise a thread switch, small enough that a few
/// hundred streams fit into memory.
const CHUNK: u64 = 256 * 1024;

/// Reads up to `limit` bytes at `offset`, at most [`CHUNK`]; the end of the file is an error.
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

/// Runs file operations on the runtime's blocking threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
