//! The spool folder of one process.
//!
//! Several origins may be configured with the same parent folder. Each creates a folder of its own
//! and locks it for as long as it lives, so that a process that starts can tell the leftovers of a
//! dead process from the files a live one is writing.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// The prefix of the names of spool folders; nothing else in the parent folder is ever removed.
pub(super) const PREFIX: &str = ".spool-";

/// The spool folder of this process. It is removed when dropped; after a crash, by the next process
/// that starts.
#[derive(Debug)]
pub(super) struct SpoolFolder {
    folder: TempDir,
    _lock: File,
}

impl SpoolFolder {
    /// Creates a folder inside `parent` and removes those of dead processes.
    pub(super) fn inside(parent: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        // Held until the new folder is locked: a process that starts at the same time would
        // otherwise see an unlocked folder and remove it.
        let start_lock = File::open(parent)?;
        start_lock.lock()?;
        for found in std::fs::read_dir(parent)? {
            let found = found?;
            if found.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                match remove_if_dead(&found.path()) {
                    // Its process stopped in the meantime and removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::open(folder.path())?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn remove_if_dead(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.try_lock() {
        Ok(()) => std::fs::remove_dir_all(folder),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
