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

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Blob, Self::Manifest];

    /// Its name for a reader.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
        }
    }

    /// The object of this class with this digest.
    #[must_use]
    pub fn key(self, digest: &Digest) -> Key<'_> {
        match self {
            Self::Blob => Key::Blob(digest),
            Self::Manifest => Key::Manifest(digest),
        }
    }
}

/// The name of an object that was found, which need not be one this program gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A blob's bytes.
    Blob(Digest),
    /// A manifest's bytes.
    Manifest(Digest),
    /// Not written by this program.
    Foreign(String),
}

impl Name {
    pub(super) fn read(path: Path) -> Self {
        let parts: Vec<_> = path.parts().collect();
        let digest = match parts.as_slice() {
            [_, algorithm, _, hex] => format!("{}:{}", algorithm.as_ref(), hex.as_ref()).parse(),
            _ => return Self::Foreign(path.into()),
        };
        let (found_at, name) = match (parts.first().map(AsRef::as_ref), digest) {
            (Some("blobs"), Ok(digest)) => (Key::Blob(&digest).path(), Self::Blob(digest)),
            (Some("manifests"), Ok(digest)) => {
                (Key::Manifest(&digest).path(), Self::Manifest(digest))
            }
            _ => return Self::Foreign(path.into()),
        };
        // What another folder holds under a digest's name is not found by it.
        if found_at == path { name } else { Self::Foreign(path.into()) }
    }
}
