//! The layout of the store: which path holds which object.

use object_store::path::Path;
use oci::Digest;
use strum::{Display, VariantArray};

/// Names an object by its kind and digest.
#[derive(Debug, Clone, Copy)]
pub enum Key<'d> {
    /// The bytes of a blob.
    Blob(&'d Digest),
    /// The bytes of a manifest.
    Manifest(&'d Digest),
}

impl Key<'_> {
    /// Returns the path of the object, such as `blobs/sha256/ab/abcd…`. The folder named by the first
    /// byte of the digest keeps directories small.
    #[must_use]
    pub fn path(&self) -> Path {
        let (folder, digest) = match self {
            Self::Blob(digest) => (ObjectKind::Blob.folder(), digest),
            Self::Manifest(digest) => (ObjectKind::Manifest.folder(), digest),
        };
        let shard = digest.hex().get(..2).unwrap_or_default();
        Path::from_iter([folder, digest.algorithm().as_str(), shard, digest.hex()])
    }
}

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum ObjectKind {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

impl ObjectKind {
    /// Returns the key of the object of this kind with this digest.
    #[must_use]
    pub fn key(self, digest: &Digest) -> Key<'_> {
        match self {
            Self::Blob => Key::Blob(digest),
            Self::Manifest => Key::Manifest(digest),
        }
    }

    /// Returns the top-level folder that holds all objects of this kind.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Manifest => "manifests",
        }
    }
}

/// What the path of a stored object names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// A blob or manifest, at the path of its [`Key`].
    Known(ObjectKind, Digest),
    /// An object that this program did not write.
    Foreign(String),
}

impl From<Path> for ObjectName {
    fn from(path: Path) -> Self {
        match known(&path) {
            Some((kind, digest)) => Self::Known(kind, digest),
            None => Self::Foreign(path.into()),
        }
    }
}

fn known(path: &Path) -> Option<(ObjectKind, Digest)> {
    let parts: Vec<_> = path.parts().collect();
    let [folder, algorithm, _, hex] = parts.as_slice() else { return None };
    let kind = ObjectKind::VARIANTS.iter().find(|kind| kind.folder() == folder.as_ref())?;
    let digest = format!("{}:{}", algorithm.as_ref(), hex.as_ref()).parse().ok()?;
    // A valid digest in the wrong folder is not the object that a key of this digest leads to.
    (kind.key(&digest).path() == *path).then_some((*kind, digest))
}
