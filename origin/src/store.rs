//! Bytes: the few things done with the object store. An object is there whole or not at all.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use object_store::local::LocalFileSystem;
use object_store::signer::Signer;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _};
use url::Url;

use crate::body::{self, Piece, Pieces};
use crate::config;

pub use audit::Stored;
pub use keys::{Class, Key, Name};

mod audit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod keys;
mod open;
mod owner;
mod upload;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not there; a row that says otherwise is wrong.
    #[error("the object {0} is missing")]
    Missing(String),
    /// The object is there, but has another length than its row says.
    #[error("the object {0} has another length than its row says")]
    Spoilt(String),
    /// The store failed; whether the object is there is not known.
    #[error("the object store failed: {0}")]
    Failed(#[from] object_store::Error),
    /// A file on this machine could not be read or moved.
    #[error("a local file failed: {0}")]
    File(#[from] std::io::Error),
}

/// The object store of a Cell.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Set where objects are local files: a finished file is then renamed into place.
    local: Option<Arc<LocalFileSystem>>,
    /// Set where clients are sent to the bucket itself.
    redirect: Option<Redirect>,
    part_size: usize,
}

#[derive(Debug, Clone)]
struct Redirect {
    signer: Arc<dyn Signer>,
    life: Duration,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What its name says it is.
    pub name: Name,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl Store {
    /// Opens the store a configuration names; a missing folder is made.
    ///
    /// # Errors
    /// The folder cannot be made, or the URL or an option is not understood.
    pub fn open(config: &config::Store) -> anyhow::Result<Self> {
        let open::Opened { objects, local, signer } = open::open(config)?;
        let life = config.redirect_life;
        let redirect = signer.filter(|_| config.redirect).map(|signer| Redirect { signer, life });
        let part_size = usize::try_from(config.part_size.as_u64())?;
        Ok(Self { objects, local, redirect, part_size })
    }

    /// Stores small content whole.
    ///
    /// # Errors
    /// The store fails; then the object is not there.
    pub async fn put(&self, key: &Key<'_>, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.put(&key.path(), bytes.into()).await?;
        Ok(())
    }

    /// Makes a finished file the object; the file is gone or left for its owner to remove.
    ///
    /// # Errors
    /// The store fails; then the object is not there.
    pub async fn promote(&self, key: &Key<'_>, file: &Path) -> Result<(), StoreError> {
        if let Some(local) = &self.local {
            let target = local.path_to_filesystem(&key.path())?;
            if rename_into(file.to_owned(), target).await? {
                return Ok(());
            }
        }
        upload::upload(&self.objects, &key.path(), file, self.part_size).await
    }

    /// Small content, whole.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store fails.
    pub async fn read(&self, key: &Key<'_>) -> Result<Bytes, StoreError> {
        let found = self.objects.get(&key.path()).await.map_err(missing(key))?;
        Ok(found.bytes().await?)
    }

    /// A stream of `range` of an object of this size, as a half-open range of positions.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Spoilt`], or the store fails.
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
            Ok(_) => return Err(StoreError::Spoilt(key.path().to_string())),
            Err(error) => return Err(self.why(key, size, error).await),
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

    /// Removes an object; one that is not there stays so.
    ///
    /// # Errors
    /// The store fails; then the object may be there or not.
    pub async fn delete(&self, key: &Key<'_>) -> Result<(), StoreError> {
        match self.objects.delete(&key.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All objects, in no order; one that comes or goes meanwhile is listed or not.
    #[must_use]
    pub fn list(&self) -> BoxStream<'static, Result<Object, StoreError>> {
        let listed = self.objects.list(None);
        let object = |found: object_store::ObjectMeta| Object {
            name: Name::read(found.location),
            size: found.size,
            modified: found.last_modified.into(),
        };
        listed.map_ok(object).map_err(StoreError::from).boxed()
    }

    /// Whether clients are sent to the bucket itself.
    #[must_use]
    pub fn redirects(&self) -> bool {
        self.redirect.is_some()
    }

    /// A URL under which anybody may GET this object for a short while. `None`: not offered.
    ///
    /// # Errors
    /// No credential to sign with.
    pub async fn signed_url(&self, key: &Key<'_>) -> Result<Option<Url>, StoreError> {
        let Some(Redirect { signer, life }) = &self.redirect else { return Ok(None) };
        Ok(Some(signer.signed_url(Method::GET, &key.path(), *life).await?))
    }
}

/// `false`: the two lie on different filesystems, so the bytes must be copied.
async fn rename_into(from: std::path::PathBuf, to: std::path::PathBuf) -> std::io::Result<bool> {
    body::blocking(move || {
        // The bytes must be on disk before the name is, or a power cut leaves a hollow object.
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
