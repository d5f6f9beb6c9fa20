//! Watches files and reports when they must be read again.
//!
//! Files are polled, because polling sees every way in which a file changes: written in place, moved
//! into place, or behind a symlink that is swapped, as in a Kubernetes ConfigMap or Secret.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The poll period. A change is reported after one to two periods.
const PERIOD: Duration = Duration::from_millis(500);

/// Identifies the content of a file without reading it. Symlinks are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    File { device: u64, inode: u64, length: u64, modified: (i64, i64), changed: (i64, i64) },
    Unreadable(io::ErrorKind),
}

impl Stamp {
    fn of(file: &Path) -> Self {
        match fs::metadata(file) {
            Ok(data) => Self::File {
                device: data.dev(),
                inode: data.ino(),
                length: data.len(),
                modified: (data.mtime(), data.mtime_nsec()),
                changed: (data.ctime(), data.ctime_nsec()),
            },
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// One watched file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    file: PathBuf,
    /// The file when its owner last read it.
    read: Stamp,
    /// The file at the last poll.
    seen: Stamp,
}

impl Watched {
    fn new(file: PathBuf) -> Self {
        let read = Stamp::of(&file);
        Self { file, seen: read.clone(), read }
    }
}

/// Watches files. On SIGHUP they are reported as changed at once.
#[derive(Debug)]
pub struct FileWatcher {
    files: Vec<Watched>,
    polls: Interval,
    hangup: Signal,
}

impl FileWatcher {
    /// Starts watching one file. Call this *before* reading the file: a change in between is then
    /// reported. From now on SIGHUP does not terminate the process.
    ///
    /// # Errors
    /// The handler of SIGHUP cannot be installed.
    pub fn new(file: &Path) -> io::Result<Self> {
        let mut polls = interval(PERIOD);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { files: vec![Watched::new(file.to_owned())], polls, hangup })
    }

    /// Watches exactly these files from now on. Like [`new`](Self::new), call it before reading the
    /// files that are new; those already watched keep their state.
    pub fn watch(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let known = |file: &PathBuf| self.files.iter().find(|known| known.file == *file).cloned();
        let files = files.into_iter();
        self.files = files.map(|file| known(&file).unwrap_or_else(|| Watched::new(file))).collect();
    }

    /// Waits for the next poll or SIGHUP, and returns whether the files must be read again.
    pub async fn tick(&mut self) -> bool {
        let requested = tokio::select! {
            _ = self.polls.tick() => false,
            signal = self.hangup.recv() => signal.is_some(),
        };
        self.poll(requested)
    }

    /// Looks at the files once. `requested` reports them as changed in any case.
    ///
    /// A change is reported when the files did not change since the previous poll: one that is
    /// being written may be valid by accident when half of it is there.
    pub fn poll(&mut self, requested: bool) -> bool {
        let mut settled = true;
        for watched in &mut self.files {
            let now = Stamp::of(&watched.file);
            settled &= now == watched.seen;
            watched.seen = now;
        }
        let report = requested || (settled && self.changed());
        if report {
            self.files.iter_mut().for_each(|watched| watched.read = watched.seen.clone());
        }
        report
    }

    fn changed(&self) -> bool {
        self.files.iter().any(|watched| watched.seen != watched.read)
    }
}

#[cfg(test)]
mod tests;
