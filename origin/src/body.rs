//! Reading files without holding the runtime up.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

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
