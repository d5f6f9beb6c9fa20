//! The spool file of one fetch. Writing and hashing run on blocking threads.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use tempfile::TempPath;
use tracing::warn;

use super::space::Reservation;
use crate::body;
use crate::cache::error::FetchError;

/// A growing file with the bytes received so far.
#[derive(Debug)]
pub(in crate::cache) struct Spool {
    file: Arc<File>,
    path: TempPath,
    reservation: Arc<Reservation>,
    hasher: Hasher,
    received: u64,
}

/// Why a blob is streamed to clients without being cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum UncachedReason {
    /// `spool_limit` is reached.
    Limit,
    /// The disk is full or fails.
    Disk,
    /// The request repeatedly joined fetches of other requests that ended without a result for it.
    Contended,
}

impl UncachedReason {
    /// Returns the metric's label.
    pub(in crate::cache) fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Disk => "disk",
            Self::Contended => "contended",
        }
    }
}

/// A spool that cannot grow: the state of what it holds, and the chunks that did not fit.
#[derive(Debug)]
pub(in crate::cache) struct SpoolFull {
    pub(in crate::cache) reason: UncachedReason,
    pub(in crate::cache) hasher: Hasher,
    pub(in crate::cache) received: u64,
    pub(in crate::cache) rest: Vec<Bytes>,
}

impl Spool {
    /// Creates a file in `folder`.
    pub(super) async fn create(
        folder: PathBuf,
        reservation: Reservation,
        algorithm: Algorithm,
    ) -> Result<Self, UncachedReason> {
        let created = body::blocking(move || tempfile::NamedTempFile::new_in(folder));
        let (file, path) = created.await.map_err(|error| disk(&error))?.into_parts();
        Ok(Self::of(file, path, reservation, algorithm))
    }

    pub(super) fn of(
        file: File,
        path: TempPath,
        reservation: Reservation,
        algorithm: Algorithm,
    ) -> Self {
        let (hasher, reservation) = (Hasher::new(algorithm), Arc::new(reservation));
        Self { file: Arc::new(file), path, reservation, hasher, received: 0 }
    }

    /// Returns how many bytes were written.
    pub(in crate::cache) fn received(&self) -> u64 {
        self.received
    }

    /// Returns the path of the file.
    pub(in crate::cache) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the reserved space back if the store has moved the file away. A copied file keeps its
    /// reservation until its last reader is done.
    pub(in crate::cache) fn release_if_moved(&self) {
        if !self.path.exists() {
            self.reservation.release();
        }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn reservation(&self) -> &Arc<Reservation> {
        &self.reservation
    }

    /// Appends a batch. Takes the spool and gives it back, so that nothing can be written after a
    /// failed write.
    ///
    /// # Errors
    /// [`FetchError::Internal`] if the writing thread panicked. A full or failing disk is not an
    /// error of the fetch: it is the inner `Err`.
    pub(in crate::cache) async fn append(
        self,
        batch: Vec<Bytes>,
    ) -> Result<Result<Self, Box<SpoolFull>>, FetchError> {
        let written = tokio::task::spawn_blocking(move || self.write(batch)).await;
        written.map_err(|_| FetchError::Internal)
    }

    fn write(mut self, batch: Vec<Bytes>) -> Result<Self, Box<SpoolFull>> {
        let mut chunks = batch.into_iter();
        while let Some(chunk) = chunks.next() {
            if let Err(reason) = self.write_chunk(&chunk) {
                let rest = std::iter::once(chunk).chain(chunks).collect();
                let Self { hasher, received, .. } = self;
                return Err(Box::new(SpoolFull { reason, hasher, received, rest }));
            }
        }
        Ok(self)
    }

    /// Counts a chunk only after all of it was written. A failed write may leave some of its bytes
    /// in the file, beyond the position up to which readers read.
    fn write_chunk(&mut self, chunk: &[u8]) -> Result<(), UncachedReason> {
        let received = self.received + chunk.len() as u64;
        if !self.reservation.grow_to(received) {
            return Err(UncachedReason::Limit);
        }
        self.file.write_all(chunk).map_err(|error| disk(&error))?;
        self.hasher.update(chunk);
        self.received = received;
        Ok(())
    }

    /// Returns the digest of everything written.
    pub(in crate::cache) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

fn disk(error: &io::Error) -> UncachedReason {
    warn!(%error, "the spool cannot be written; the blob is streamed without being cached");
    UncachedReason::Disk
}
