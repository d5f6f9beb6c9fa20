//! The growing file of one fetch: written and hashed off the runtime's threads.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use tempfile::TempPath;
use tracing::warn;

use super::room::Reservation;
use crate::body;

/// Bytes received so far.
#[derive(Debug)]
pub(in crate::cache) struct Spool {
    file: Arc<File>,
    path: TempPath,
    room: Arc<Reservation>,
    hasher: Hasher,
    received: u64,
}

/// Why a blob is not spooled, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Refusal {
    /// `spool_limit` is reached.
    Limit,
    /// The disk is full, or fails.
    Disk,
    /// Other requests for the same blob were in the way again and again.
    Contended,
}

impl Refusal {
    /// The metric's label.
    pub(in crate::cache) fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Disk => "disk",
            Self::Contended => "contended",
        }
    }
}

/// A spool that takes no more: what it had, and the chunks it did not take.
#[derive(Debug)]
pub(in crate::cache) struct Full {
    pub(in crate::cache) refusal: Refusal,
    pub(in crate::cache) hasher: Hasher,
    pub(in crate::cache) received: u64,
    pub(in crate::cache) rest: Vec<Bytes>,
}

impl Spool {
    /// A new file in `folder`.
    pub(super) async fn create(
        folder: PathBuf,
        room: Reservation,
        algorithm: Algorithm,
    ) -> Result<Self, Refusal> {
        let made = body::blocking(move || tempfile::NamedTempFile::new_in(folder));
        let (file, path) = made.await.map_err(|error| disk(&error))?.into_parts();
        Ok(Self::of(file, path, room, algorithm))
    }

    pub(super) fn of(file: File, path: TempPath, room: Reservation, algorithm: Algorithm) -> Self {
        let hasher = Hasher::new(algorithm);
        Self { file: Arc::new(file), path, room: Arc::new(room), hasher, received: 0 }
    }

    /// How many bytes were written.
    pub(in crate::cache) fn received(&self) -> u64 {
        self.received
    }

    /// Where the file lies.
    pub(in crate::cache) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives its room back where the file has been moved away.
    pub(in crate::cache) fn vacate(&self) {
        if !self.path.exists() {
            self.room.release();
        }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn room(&self) -> &Arc<Reservation> {
        &self.room
    }

    /// Appends; consumed and given back, so that a failed write cannot be followed by another.
    ///
    /// # Errors
    /// Only where the runtime ends.
    pub(in crate::cache) async fn append(
        self,
        batch: Vec<Bytes>,
    ) -> io::Result<Result<Self, Box<Full>>> {
        body::blocking(move || Ok(self.write(batch))).await
    }

    fn write(mut self, batch: Vec<Bytes>) -> Result<Self, Box<Full>> {
        let mut chunks = batch.into_iter();
        while let Some(chunk) = chunks.next() {
            if let Err(refusal) = self.put(&chunk) {
                let rest = std::iter::once(chunk).chain(chunks).collect();
                let Self { hasher, received, .. } = self;
                return Err(Box::new(Full { refusal, hasher, received, rest }));
            }
        }
        Ok(self)
    }

    /// Counts a chunk only when all of it is written: what a failed write left behind is beyond
    /// what anybody reads.
    fn put(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let received = self.received + chunk.len() as u64;
        if !self.room.cover(received) {
            return Err(Refusal::Limit);
        }
        self.file.write_all(chunk).map_err(|error| disk(&error))?;
        self.hasher.update(chunk);
        self.received = received;
        Ok(())
    }

    /// The digest of everything written.
    pub(in crate::cache) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

fn disk(error: &io::Error) -> Refusal {
    warn!(%error, "a blob cannot be spooled; it is passed through uncached");
    Refusal::Disk
}
