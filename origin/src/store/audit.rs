//! Looking over everything that is stored, for those who check it and sweep it.

use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::{Key, Store, StoreError, missing};
use crate::body;

/// An object as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its length in bytes.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
}

impl Stored {
    /// How long ago it was written last.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.modified).unwrap_or_default()
    }
}

impl From<ObjectMeta> for Stored {
    fn from(meta: ObjectMeta) -> Self {
        Self { size: meta.size, modified: meta.last_modified.into() }
    }
}

impl Store {
    /// What an object is like. `None`: it is not there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn stat(&self, key: &Key<'_>) -> Result<Option<Stored>, StoreError> {
        match self.objects.head(&key.path()).await.map_err(missing(key)) {
            Ok(meta) => Ok(Some(meta.into())),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A range beyond the end of an object that is too short fails in a way of each store's own.
    pub(super) async fn why(
        &self,
        key: &Key<'_>,
        size: u64,
        error: object_store::Error,
    ) -> StoreError {
        match missing(key)(error) {
            StoreError::Failed(error) => match self.stat(key).await {
                Ok(Some(stored)) if stored.size != size => {
                    StoreError::Spoilt(key.path().to_string())
                }
                _ => StoreError::Failed(error),
            },
            other => other,
        }
    }

    /// Removes what writers that were killed left half-written in a folder, if it is older than
    /// this, and says how many files. Of a bucket that is its lifecycle rule's work.
    ///
    /// # Errors
    /// The folder cannot be read, or a file not removed.
    pub async fn remove_unfinished(&self, older_than: Duration) -> Result<usize, StoreError> {
        let Some(local) = &self.local else { return Ok(0) };
        let mut removed = 0;
        for class in ["blobs", "manifests"] {
            let folder = local.path_to_filesystem(&class.into())?;
            removed += body::blocking(move || remove_unfinished(&folder, older_than)).await?;
        }
        Ok(removed)
    }
}

fn remove_unfinished(folder: &FilePath, older_than: Duration) -> std::io::Result<usize> {
    let mut removed = 0;
    for file in unfinished(folder)? {
        removed += usize::from(unless_gone(remove_old(&file, older_than))?.unwrap_or_default());
    }
    Ok(removed)
}

fn remove_old(file: &FilePath, older_than: Duration) -> std::io::Result<bool> {
    let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
    if age < older_than {
        return Ok(false);
    }
    std::fs::remove_file(file).map(|()| true)
}

/// A writer that finished, or another sweep, took it in the meantime: nothing is left to do.
fn unless_gone<T>(done: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// `object_store` writes to `NAME#1` and renames; no name of ours has a `#`.
fn unfinished(folder: &FilePath) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = unless_gone(std::fs::read_dir(folder))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(kind) = unless_gone(entry.file_type())? else { continue };
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
    fn a_file_that_is_gone_by_then_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("x#1");
        assert_eq!(unless_gone(remove_old(&gone, Duration::ZERO)).unwrap(), None);
        assert!(unfinished(&gone).unwrap().is_empty());
        std::fs::write(&gone, "").unwrap();
        assert_eq!(unless_gone(remove_old(&gone, Duration::ZERO)).unwrap(), Some(true));
    }

    #[tokio::test]
    async fn only_half_written_files_that_are_old_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let lines = format!("url = \"file://{}\"\nspool = \"/tmp/spool\"", folder.path().display());
        let store = Store::open(&toml::from_str(&lines).unwrap()).unwrap();
        assert_eq!(store.remove_unfinished(Duration::ZERO).await.unwrap(), 0, "nothing there");
        let digest = Digest::of(b"x");
        store.put(&Key::Manifest(&digest), Bytes::from_static(b"x")).await.unwrap();
        let object = folder.path().join(Key::Manifest(&digest).path().as_ref());
        let half = format!("{}#1", object.display());
        std::fs::write(&half, "").unwrap();
        assert_eq!(store.remove_unfinished(Duration::from_secs(60)).await.unwrap(), 0, "young");
        assert_eq!(store.remove_unfinished(Duration::ZERO).await.unwrap(), 1);
        assert!(object.exists() && !std::path::Path::new(&half).exists());
    }
}
