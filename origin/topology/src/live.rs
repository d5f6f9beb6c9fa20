//! The configuration that is being served. Each request reads it once, so no request sees two.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;

/// A handle to the configuration that is being served.
pub type LiveConfig = watch::Receiver<ConfigState>;

/// The configuration that is being served, and whether it is the one in the file.
#[derive(Debug, Clone)]
pub struct ConfigState {
    /// The configuration.
    pub config: Arc<Config>,
    /// The number of configurations served since the start, this one included.
    pub generation: u64,
    /// Why the current content of the file was rejected, if it was.
    pub refused: Option<Arc<str>>,
}

impl ConfigState {
    /// Returns the state of a service that has just started.
    #[must_use]
    pub fn first(config: Config) -> Self {
        Self { config: Arc::new(config), generation: 1, refused: None }
    }

    /// Replaces the configuration.
    pub fn replace(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.generation = self.generation.saturating_add(1);
        self.refused = None;
    }

    /// Keeps the configuration, and records why the content of the file was rejected.
    pub fn refuse(&mut self, reason: &str) {
        self.refused = Some(reason.into());
    }
}
