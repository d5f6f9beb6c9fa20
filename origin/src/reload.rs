//! Keeps the upstreams in step with the configuration file and the password files it names. However
//! a file changes – moved into place, written in place, or behind a swapped symlink as in a
//! Kubernetes Secret – it is taken once it has come to rest; one that is wrong is refused, and what
//! was used before still is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::App;
use crate::config::Config;

/// How often the files are looked at; a change is taken after one to two of these.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What tells one content of a file from another without reading it; symlinks are followed. `None`:
/// it cannot be looked at.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// What is watched, from before it is read: a change during the start is one, too.
#[derive(Debug)]
pub struct Watch {
    hangup: Signal,
    files: Vec<PathBuf>,
    read: Vec<Stamp>,
}

impl Watch {
    /// Reads the configuration; from here on SIGHUP does not end the process.
    ///
    /// # Errors
    /// The configuration cannot be used, or SIGHUP not be listened for.
    pub fn load(file: &Path) -> Result<(Config, Self)> {
        let hangup = signal(SignalKind::hangup())?;
        let mut read = stamps(&[file.to_owned()]);
        let config = Config::load(file)?;
        let files = files(file, &config);
        read.extend(files.iter().skip(1).map(stamp));
        Ok((config, Self { hangup, files, read }))
    }

    /// Watches until the origin is gone.
    pub fn start(self, app: &Arc<App>) {
        let Self { hangup, files, read } = self;
        let (app, seen) = (Arc::downgrade(app), read.clone());
        tokio::spawn(Watcher { app, files, read, seen }.run(hangup));
    }
}

struct Watcher {
    app: Weak<App>,
    /// The configuration first.
    files: Vec<PathBuf>,
    /// The files when they were last read.
    read: Vec<Stamp>,
    /// The files when they were last looked at.
    seen: Vec<Stamp>,
}

impl Watcher {
    async fn run(mut self, mut hangup: Signal) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let at_once = tokio::select! {
                _ = looks.tick() => false,
                signal = hangup.recv() => signal.is_some(),
            };
            let Some(app) = self.app.upgrade() else { return };
            let now = stamps(&self.files);
            // A file that changed since the last look is perhaps being written.
            let rests = now == self.seen;
            self.seen = now;
            if at_once || (rests && self.seen != self.read) {
                self.reload(&app);
            }
        }
    }

    fn reload(&mut self, app: &App) {
        self.read.clone_from(&self.seen);
        match self.take(app) {
            Ok(()) => {
                app.metrics.reloaded("ok");
                info!("using the upstreams of the changed configuration");
            }
            Err(reason) => {
                app.metrics.reloaded("refused");
                let reason = format!("{reason:#}");
                error!(reason, "refused the changed configuration; the former one is still used");
            }
        }
    }

    fn take(&mut self, app: &App) -> Result<()> {
        let Some(file) = self.files.first().cloned() else { return Ok(()) };
        let config = Config::load(&file)?;
        let named = files(&file, &config);
        if named != self.files {
            self.files = named;
            // Before they are read: a change in between is then seen as one.
            self.read = stamps(&self.files);
            self.seen.clone_from(&self.read);
        }
        app.upstreams.replace(&config)
    }
}

fn files(file: &Path, config: &Config) -> Vec<PathBuf> {
    let upstreams = std::iter::once(&config.upstream).chain(&config.upstreams);
    let passwords = upstreams.flat_map(|upstream| upstream.password_files().cloned());
    std::iter::once(file.to_owned()).chain(passwords).collect()
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(stamp).collect()
}

fn stamp(file: &PathBuf) -> Stamp {
    let data = fs::metadata(file).ok()?;
    let (modified, changed) =
        ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
    Some((data.dev(), data.ino(), data.len(), modified, changed))
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;
    use crate::config::tests::MINIMAL;

    #[tokio::test]
    async fn what_happens_before_the_origin_stands_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, password) = (folder.path().join("origin.toml"), folder.path().join("password"));
        let login = format!("username = \"me\"\npassword_file = \"{}\"", password.display());
        fs::write(&file, format!("{MINIMAL}[upstream]\n{login}\n")).unwrap();
        fs::write(&password, "one").unwrap();
        for changed in [&file, &password] {
            let (_, mut watch) = Watch::load(&file).unwrap();
            assert_eq!(watch.read, stamps(&watch.files));
            fs::write(changed, format!("{}\n", fs::read_to_string(changed).unwrap())).unwrap();
            assert_ne!(watch.read, stamps(&watch.files), "{}", changed.display());
            kill_process(getpid(), Signal::HUP).unwrap();
            let heard = tokio::time::timeout(Duration::from_secs(60), watch.hangup.recv());
            assert_eq!(heard.await.unwrap(), Some(()));
        }
    }
}
