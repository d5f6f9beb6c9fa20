//! Bytes: the few things done with the object store. An object is there whole or not at all.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _};
use url::Url;

use crate::body::{self, Piece, Pieces};

pub use keys::Key;

mod keys;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not there; a row that says otherwise is wrong.
    #[error("the object {0} is missing")]
    Missing(String),
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
}

impl Store {
    /// Opens the store a URL names; a missing folder is made.
    ///
    /// # Errors
    /// The folder cannot be made, or the scheme is not offered.
    pub fn open(url: &Url) -> anyhow::Result<Self> {
        if url.scheme() == "memory" {
            return Ok(Self { objects: Arc::new(InMemory::new()), local: None });
        }
        let path = url.to_file_path().ok().context("[store] url: not an absolute file: URL")?;
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the store's folder {}", path.display()))?;
        let local = Arc::new(LocalFileSystem::new_with_prefix(&path)?);
        Ok(Self { objects: Arc::clone(&local) as Arc<dyn ObjectStore>, local: Some(local) })
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
        self.upload(key, file).await
    }

    async fn upload(&self, key: &Key<'_>, file: &Path) -> Result<(), StoreError> {
        use tokio::io::AsyncWriteExt as _;
        let mut reader = tokio::fs::File::open(file).await?;
        let mut writer =
            object_store::buffered::BufWriter::new(Arc::clone(&self.objects), key.path());
        let copied = tokio::io::copy(&mut reader, &mut writer).await;
        if let Err(error) = copied {
            writer.abort().await?;
            return Err(error.into());
        }
        Ok(writer.shutdown().await?)
    }

    /// Small content, whole.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store fails.
    pub async fn read(&self, key: &Key<'_>) -> Result<Bytes, StoreError> {
        let found = self.objects.get(&key.path()).await.map_err(missing(key))?;
        Ok(found.bytes().await?)
    }

    /// A stream of `range` of an object, as a half-open range of positions.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store fails.
    pub async fn stream(
        &self,
        key: &Key<'_>,
        range: std::ops::Range<u64>,
    ) -> Result<Pieces, StoreError> {
        let options = GetOptions {
            range: (!range.is_empty()).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let found = self.objects.get_opts(&key.path(), options).await.map_err(missing(key))?;
        match found.payload {
            GetResultPayload::File(file, _) => {
                Ok(stream::once(ready(Ok(Piece::File(Arc::new(file), range)))).boxed())
            }
            GetResultPayload::Stream(parts) => {
                Ok(parts.map_ok(Piece::Bytes).map_err(std::io::Error::other).boxed())
            }
        }
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn contains(&self, key: &Key<'_>) -> Result<bool, StoreError> {
        match self.objects.head(&key.path()).await.map_err(missing(key)) {
            Ok(_) => Ok(true),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
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
