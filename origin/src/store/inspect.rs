//! Inspects and cleans up what is stored, for the check and the sweep.

use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use object_store::{ObjectMeta, ObjectStoreExt as _};
use strum::VariantArray as _;

use super::{Key, ObjectKind, Store, StoreError, missing};
use crate::body;

/// The size and age of an object, as the store reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The length in bytes.
    pub size: u64,
    /// When the object was last written.
    pub modified: SystemTime,
}

impl ObjectInfo {
    /// Returns the time since the object was last written.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.modified).unwrap_or_default()
    }
}

impl From<ObjectMeta> for ObjectInfo {
    fn from(meta: ObjectMeta) -> Self {
        Self { size: meta.size, modified: meta.last_modified.into() }
    }
}

impl Store {
    /// Returns an object's size and age, or `None` if the object does not exist.
    ///
    /// # Errors
    /// The store fails.
    pub async fn stat(&self, key: &Key<'_>) -> Result<Option<ObjectInfo>, StoreError> {
        match self.objects.head(&key.path()).await.map_err(missing(key)) {
            Ok(meta) => Ok(Some(meta.into())),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds out why a range of an object of this size could not be read.
    ///
    /// If the object is shorter than expected, the range may lie beyond its end; each store reports
    /// that with a different error.
    pub(super) async fn read_error(
        &self,
        key: &Key<'_>,
        size: u64,
        error: object_store::Error,
    ) -> StoreError {
        match missing(key)(error) {
            StoreError::Failed(error) => match self.stat(key).await {
                Ok(Some(info)) if info.size != size => {
                    StoreError::WrongLength(key.path().to_string())
                }
                _ => StoreError::Failed(error),
            },
            other => other,
        }
    }

    /// Removes partial files that are at least `min_age` old, and returns how many there were. A
    /// writer that is killed leaves one. In a bucket, a lifecycle rule removes unfinished uploads.
    ///
    /// # Errors
    /// A folder cannot be read or a file cannot be removed.
    pub async fn remove_partial_files(&self, min_age: Duration) -> Result<usize, StoreError> {
        let Some(local) = &self.local else { return Ok(0) };
        let mut removed = 0;
        for kind in ObjectKind::VARIANTS {
            let folder = local.path_to_filesystem(&kind.folder().into())?;
            removed += body::blocking(move || remove_partial_files(&folder, min_age)).await?;
        }
        Ok(removed)
    }
}

fn remove_partial_files(folder: &FilePath, min_age: Duration) -> std::io::Result<usize> {
    let mut removed = 0;
    for file in partial_files(folder)? {
        removed += usize::from(if_exists(remove_if_old(&file, min_age))?.unwrap_or_default());
    }
    Ok(removed)
}

fn remove_if_old(file: &FilePath, min_age: Duration) -> std::io::Result<bool> {
    let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
    if age < min_age {
        return Ok(false);
    }
    std::fs::remove_file(file).map(|()| true)
}

/// Turns `NotFound` into `None`: the writer has finished, or another sweep was faster.
fn if_exists<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Lists the files that `object_store` is writing or has failed to write. It writes to `NAME#1` and
/// then renames; the name of an object never contains `#`.
fn partial_files(folder: &FilePath) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = if_exists(std::fs::read_dir(folder))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(kind) = if_exists(entry.file_type())? else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().as_encoded_bytes().contains(&b'#') {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use oci::Digest;

    use super::*;

    #[test]
    fn a_file_that_disappears_during_the_cleanup_is_not_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x#1");
        assert_eq!(if_exists(remove_if_old(&file, Duration::ZERO)).unwrap(), None);
        assert!(partial_files(&file).unwrap().is_empty());
        std::fs::write(&file, "").unwrap();
        assert_eq!(if_exists(remove_if_old(&file, Duration::ZERO)).unwrap(), Some(true));
    }

    #[tokio::test]
    async fn only_partial_files_that_are_old_enough_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let lines = format!("url = \"file://{}\"\nspool = \"/tmp/spool\"", folder.path().display());
        let store = Store::open(&toml::from_str(&lines).unwrap()).unwrap();
        assert_eq!(store.remove_partial_files(Duration::ZERO).await.unwrap(), 0, "an empty store");
        let digest = Digest::of(b"x");
        store.put(&Key::Manifest(&digest), Bytes::from_static(b"x")).await.unwrap();
        let object = folder.path().join(Key::Manifest(&digest).path().as_ref());
        let partial = format!("{}#1", object.display());
        std::fs::write(&partial, "").unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(store.remove_partial_files(minute).await.unwrap(), 0, "too young");
        assert_eq!(store.remove_partial_files(Duration::ZERO).await.unwrap(), 1);
        assert!(object.exists() && !std::path::Path::new(&partial).exists());
    }
}
