//! Replaces the configuration when its file changes. An invalid file is rejected, and the previous
//! configuration stays in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::reload::FileWatcher;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::live::{ConfigState, LiveConfig};
use crate::metrics::{Metrics, ReloadResult};

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The handler of SIGHUP cannot be installed.
    #[error("cannot handle SIGHUP: {0}")]
    Signal(#[from] io::Error),
}

/// Keeps the configuration in step with its file.
#[derive(Debug)]
pub struct Watcher {
    file: PathBuf,
    changes: FileWatcher,
    publish: watch::Sender<ConfigState>,
    metrics: Arc<Metrics>,
}

impl Watcher {
    /// Reads the file for the first time, and starts watching it.
    ///
    /// # Errors
    /// [`StartError`]: there is no configuration to serve.
    pub fn open(file: &Path) -> Result<(Self, LiveConfig, Arc<Metrics>), StartError> {
        // Before the file is read, so that a change in between is reported.
        let changes = FileWatcher::new(file)?;
        let state = ConfigState::first(Config::load(file)?);
        let metrics = Arc::new(Metrics::new(&state));
        let (publish, live) = watch::channel(state);
        let file = file.to_owned();
        let watcher = Self { file, changes, publish, metrics: Arc::clone(&metrics) };
        Ok((watcher, live, metrics))
    }

    /// Reloads the configuration on each change of the file, and on SIGHUP.
    pub async fn run(mut self) -> ! {
        loop {
            if self.changes.tick().await {
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        let file = self.file.clone();
        // A hundred thousand claims take a second, during which requests must be served.
        match tokio::task::spawn_blocking(move || Config::load(&file)).await {
            Ok(Ok(config)) => self.replace(config),
            Ok(Err(error)) => self.refuse(&error.to_string()),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn replace(&self, config: Config) {
        let cells = config.directory.cells().len();
        self.publish.send_modify(|state| state.replace(config));
        let state = self.publish.borrow();
        self.metrics.reloaded(ReloadResult::Loaded, &state);
        tracing::info!(generation = state.generation, cells, "serving the changed configuration");
    }

    fn refuse(&self, reason: &str) {
        self.publish.send_modify(|state| state.refuse(reason));
        let state = self.publish.borrow();
        self.metrics.reloaded(ReloadResult::Refused, &state);
        tracing::error!(
            reason,
            generation = state.generation,
            "rejected the changed configuration; the previous one stays in use"
        );
    }
}

#[cfg(test)]
mod tests;
