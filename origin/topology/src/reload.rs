//! Watches the configuration file. However it changes – moved into place, written in place, or
//! behind a swapped symlink as in a Kubernetes ConfigMap – the new one is served once the file has
//! come to rest; one that is wrong is refused, and what was served before still is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, ConfigError};
use crate::live::{Live, State};
use crate::metrics::{Metrics, Reload};

/// How often the file is looked at; a change is served after one to two of these.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What tells one content of a file from another without reading it; symlinks are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    File { device: u64, inode: u64, length: u64, modified: Option<SystemTime>, changed: (i64, i64) },
    Unreadable(io::ErrorKind),
}

impl Stamp {
    fn of(file: &Path) -> Self {
        match fs::metadata(file) {
            Ok(data) => Self::File {
                device: data.dev(),
                inode: data.ino(),
                length: data.len(),
                modified: data.modified().ok(),
                changed: (data.ctime(), data.ctime_nsec()),
            },
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// Keeps what is served in step with a file.
#[derive(Debug)]
pub struct Watcher {
    file: PathBuf,
    /// The file when it was last read.
    read: Stamp,
    /// The file when it was last looked at.
    seen: Stamp,
    publish: watch::Sender<State>,
    metrics: Arc<Metrics>,
}

impl Watcher {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`ConfigError`]: there is nothing to serve yet.
    pub fn open(file: &Path) -> Result<(Self, Live, Arc<Metrics>), ConfigError> {
        // Before it is read: a change in between is then seen as one.
        let read = Stamp::of(file);
        let state = State::first(Config::load(file)?);
        let metrics = Arc::new(Metrics::new(&state));
        let (publish, live) = watch::channel(state);
        let (file, seen) = (file.to_owned(), read.clone());
        let watcher = Self { file, read, seen, publish, metrics: Arc::clone(&metrics) };
        Ok((watcher, live, metrics))
    }

    /// Looks at the file twice a second, and reads it anew at once when `hangup` (SIGHUP) comes.
    pub async fn run(mut self, mut hangup: Signal) -> ! {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let at_once = tokio::select! {
                _ = looks.tick() => false,
                signal = hangup.recv() => signal.is_some(),
            };
            if self.wants_reading(at_once) {
                self.reload().await;
            }
        }
    }

    /// A file that changed since the last look is perhaps being written: half of it may be valid.
    fn wants_reading(&mut self, at_once: bool) -> bool {
        let now = Stamp::of(&self.file);
        let rests = now == self.seen;
        self.seen = now;
        at_once || (rests && self.seen != self.read)
    }

    async fn reload(&mut self) {
        self.read = self.seen.clone();
        let file = self.file.clone();
        // A hundred thousand claims take a second, in which questions are still answered.
        match tokio::task::spawn_blocking(move || Config::load(&file)).await {
            Ok(Ok(config)) => self.take(config),
            Ok(Err(error)) => self.refuse(&error.to_string()),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn take(&self, config: Config) {
        let cells = config.directory.cells().len();
        self.publish.send_modify(|state| state.replace(config));
        let state = self.publish.borrow();
        self.metrics.reloaded(Reload::Loaded, &state);
        tracing::info!(generation = state.generation, cells, "serving the changed configuration");
    }

    fn refuse(&self, reason: &str) {
        self.publish.send_modify(|state| state.refuse(reason));
        let state = self.publish.borrow();
        self.metrics.reloaded(Reload::Refused, &state);
        tracing::error!(
            reason,
            generation = state.generation,
            "refused the changed configuration; the former one is still served"
        );
    }
}

#[cfg(test)]
mod tests;
