//! The object store of a Cell, which holds the bytes of blobs and manifests.
//!
//! Writes are atomic: an object either exists completely or does not exist.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use object_store::local::LocalFileSystem;
use object_store::signer::Signer;
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
};
use url::Url;

use crate::body::{self, Piece, Pieces};
use crate::config;

pub use inspect::ObjectInfo;
pub use keys::{Key, ObjectKind, ObjectName};

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod inspect;
mod keys;
mod open;
mod owner;
mod upload;

/// The reason an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object does not exist, although a database row may refer to it.
    #[error("the object {0} is missing")]
    Missing(String),
    /// The object exists, but its length differs from the one in its database row.
    #[error("the length of the object {0} differs from its database row")]
    WrongLength(String),
    /// The store failed, so it is unknown whether the object exists.
    #[error("the object store failed: {0}")]
    Failed(#[from] object_store::Error),
    /// A local file could not be read or moved.
    #[error("a local file could not be read or moved: {0}")]
    File(#[from] std::io::Error),
}

/// A handle to the object store of a Cell. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Set if objects are local files: a complete spool file is then renamed into place.
    local: Option<Arc<LocalFileSystem>>,
    /// Set if clients are redirected to the bucket.
    redirect: Option<Redirect>,
    part_size: usize,
}

#[derive(Debug, Clone)]
struct Redirect {
    signer: Arc<dyn Signer>,
    life: Duration,
}

/// An entry of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The kind and digest that the path names.
    pub name: ObjectName,
    /// The size and age.
    pub info: ObjectInfo,
}

impl Store {
    /// Opens the configured store. A missing folder is created.
    ///
    /// # Errors
    /// The folder cannot be created, or the URL or an option is invalid.
    pub fn open(config: &config::Store) -> anyhow::Result<Self> {
        let open::Opened { objects, local, signer } = open::open(config)?;
        let life = config.redirect_life;
        let redirect = signer.filter(|_| config.redirect).map(|signer| Redirect { signer, life });
        let part_size = usize::try_from(config.part_size.as_u64())?;
        Ok(Self { objects, local, redirect, part_size })
    }

    /// Stores small content in one request.
    ///
    /// # Errors
    /// The store fails; then the object does not exist.
    pub async fn put(&self, key: &Key<'_>, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.put(&key.path(), bytes.into()).await?;
        Ok(())
    }

    /// Stores a complete file as an object. The file is moved if the store is on the same filesystem;
    /// otherwise it is copied, and the caller removes it.
    ///
    /// # Errors
    /// The store fails; then the object does not exist.
    pub async fn promote(&self, key: &Key<'_>, file: &Path) -> Result<(), StoreError> {
        if let Some(local) = &self.local {
            let target = local.path_to_filesystem(&key.path())?;
            if rename_into(file.to_owned(), target).await? {
                return Ok(());
            }
        }
        upload::upload(&self.objects, &key.path(), file, self.part_size).await
    }

    /// Reads a small object completely.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store fails.
    pub async fn read(&self, key: &Key<'_>) -> Result<Bytes, StoreError> {
        let found = self.objects.get(&key.path()).await.map_err(missing(key))?;
        Ok(found.bytes().await?)
    }

    /// Opens a stream of the bytes in `range` of an object that is expected to have this size.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::WrongLength`], or the store fails.
    pub async fn stream(
        &self,
        key: &Key<'_>,
        size: u64,
        range: std::ops::Range<u64>,
    ) -> Result<Pieces, StoreError> {
        let options = GetOptions {
            range: (!range.is_empty()).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let found = match self.objects.get_opts(&key.path(), options).await {
            Ok(found) if found.meta.size == size => found,
            Ok(_) => return Err(StoreError::WrongLength(key.path().to_string())),
            Err(error) => return Err(self.read_error(key, size, error).await),
        };
        match found.payload {
            GetResultPayload::File(file, _) => {
                Ok(stream::once(ready(Ok(Piece::File(Arc::new(file), range)))).boxed())
            }
            GetResultPayload::Stream(parts) => {
                Ok(parts.map_ok(Piece::Bytes).map_err(std::io::Error::other).boxed())
            }
        }
    }

    /// Removes an object. Removing one that does not exist succeeds.
    ///
    /// # Errors
    /// The store fails; then the object may or may not exist.
    pub async fn delete(&self, key: &Key<'_>) -> Result<(), StoreError> {
        match self.objects.delete(&key.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists all objects, in no particular order. An object that is created or removed meanwhile may or
    /// may not be listed.
    #[must_use]
    pub fn list(&self) -> BoxStream<'static, Result<ListedObject, StoreError>> {
        let listed = self.objects.list(None);
        let object = |meta: ObjectMeta| ListedObject {
            name: meta.location.clone().into(),
            info: meta.into(),
        };
        listed.map_ok(object).map_err(StoreError::from).boxed()
    }

    /// Returns whether clients are redirected to the bucket.
    #[must_use]
    pub fn redirects(&self) -> bool {
        self.redirect.is_some()
    }

    /// Returns a URL that allows its holder to GET this object for a short time. `None`: redirects are
    /// disabled.
    ///
    /// # Errors
    /// There is no credential to sign with.
    pub async fn signed_url(&self, key: &Key<'_>) -> Result<Option<Url>, StoreError> {
        let Some(Redirect { signer, life }) = &self.redirect else { return Ok(None) };
        Ok(Some(signer.signed_url(Method::GET, &key.path(), *life).await?))
    }
}

/// Renames a file. Returns `false` if the two paths are on different filesystems, so that the bytes
/// must be copied.
async fn rename_into(from: std::path::PathBuf, to: std::path::PathBuf) -> std::io::Result<bool> {
    body::blocking(move || {
        // The bytes must reach the disk before the name, or a power failure leaves an empty object.
        File::open(&from)?.sync_data()?;
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::rename(&from, &to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}

fn missing(key: &Key<'_>) -> impl Fn(object_store::Error) -> StoreError + use<> {
    let name = key.path().to_string();
    move |error| match error {
        object_store::Error::NotFound { .. } => StoreError::Missing(name.clone()),
        other => StoreError::Failed(other),
    }
}

#[cfg(test)]
mod tests;
