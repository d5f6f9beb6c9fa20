//! Response bodies, and file reads that do not block the runtime.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _, try_unfold};

pub use sendfile::{Piece, Pieces};

/// The body of a response.
pub(crate) enum ResponseBody {
    /// Made in memory.
    Stream(Body),
    /// The pieces of a blob, which a connection may send from their files without copying them.
    Pieces(Pieces),
}

impl ResponseBody {
    /// Returns a body that reads the files of the pieces.
    pub(crate) fn into_stream(self) -> Body {
        match self {
            Self::Stream(body) => body,
            Self::Pieces(pieces) => Body::from_stream(bytes_of(pieces)),
        }
    }
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
