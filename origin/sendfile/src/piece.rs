//! The parts of a body.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// A part of a body: in memory, or still in a file.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file, which is at least that long.
    File(Arc<File>, Range<u64>),
}

/// The parts of a body in order. After an error, the client's connection is cut.
pub type Pieces = BoxStream<'static, io::Result<Piece>>;
