//! Where each class of object lives.

use object_store::path::Path;
use oci::Digest;

/// The name of an object; the layout of the store is spelled here only.
#[derive(Debug, Clone, Copy)]
pub enum Key<'d> {
    /// A blob's bytes.
    Blob(&'d Digest),
    /// A manifest's bytes.
    Manifest(&'d Digest),
}

impl Key<'_> {
    /// `blobs/sha256/ab/abcd…`: a folder a first byte keeps directories small.
    #[must_use]
    pub fn path(&self) -> Path {
        let (class, digest) = match self {
            Self::Blob(digest) => ("blobs", digest),
            Self::Manifest(digest) => ("manifests", digest),
        };
        let shard = digest.hex().get(..2).unwrap_or_default();
        Path::from_iter([class, digest.algorithm().as_str(), shard, digest.hex()])
    }
}
