//! Where one process spools: a folder of its own, locked as long as it lives, so that whoever starts
//! next can tell what is left over from what another origin, given the same folder, is writing to.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// What the names of such folders begin with: only these are ours to remove.
pub(super) const PREFIX: &str = ".spool-";

/// This process's folder; it goes with this value, or with the next start.
#[derive(Debug)]
pub(super) struct SpoolFolder {
    folder: TempDir,
    _lock: File,
}

impl SpoolFolder {
    /// A new folder inside this one, from which those of dead processes are removed: nobody waits
    /// for their bytes.
    pub(super) fn inside(parent: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        // Held until this folder is locked, or a neighbour that starts now would take it for dead.
        let gate = File::open(parent)?;
        gate.lock()?;
        for found in std::fs::read_dir(parent)? {
            let found = found?;
            if found.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                match remove_if_dead(&found.path()) {
                    // Its process has just stopped and taken it along.
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
