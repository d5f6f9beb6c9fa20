//! The growing file of one fetch: written and hashed off the runtime's threads.

use std::fs::File;
use std::io::{self, Write as _};

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};

use crate::body;

/// Bytes received so far.
#[derive(Debug)]
pub(in crate::cache) struct Spool {
    file: File,
    hasher: Hasher,
    received: u64,
}

impl Spool {
    pub(super) fn new(file: File, algorithm: Algorithm) -> Self {
        Self { file, hasher: Hasher::new(algorithm), received: 0 }
    }

    /// How many bytes were written.
    pub(in crate::cache) fn received(&self) -> u64 {
        self.received
    }

    /// Appends; consumed and given back, so that a failed write cannot be followed by another.
    pub(in crate::cache) async fn append(mut self, chunk: Bytes) -> io::Result<Self> {
        body::blocking(move || {
            self.file.write_all(&chunk)?;
            self.hasher.update(&chunk);
            self.received += chunk.len() as u64;
            Ok(self)
        })
        .await
    }

    /// The digest of everything written.
    pub(in crate::cache) fn digest(self) -> Digest {
        self.hasher.finish()
    }
}
