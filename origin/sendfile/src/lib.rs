//! Zero-copy response bodies for hyper: file ranges sent by `sendfile(2)`.
//!
//! A [`Body`] gives hyper a placeholder for each range of a file, and notes the range in the
//! connection's [`FileQueue`]. [`SendfileStream`], the connection's socket, recognises the placeholder
//! and sends the range. `README.md` says what this relies on in hyper.

mod body;
mod chunk;
mod piece;
mod queue;
mod stream;

pub use body::{Body, BoxError, Observer};
pub use chunk::Chunk;
pub use piece::{Piece, Pieces};
pub use queue::{Failure, FileQueue};
pub use stream::SendfileStream;

use hyper_util::server::conn::auto::Builder;

/// Makes hyper keep body chunks in a queue of vectored writes, as a [`Body`] of files requires.
/// Otherwise hyper copies chunks into one buffer, and a placeholder has no bytes to copy.
pub fn configure<E>(builder: &mut Builder<E>) {
    builder.http1().writev(true);
}
