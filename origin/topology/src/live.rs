//! The configuration that is served now. Each request takes it once, so a reload never splits one.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;

/// The configuration as it is now.
pub type Live = watch::Receiver<State>;

/// What is served, and how it stands to the file.
#[derive(Debug, Clone)]
pub struct State {
    /// What is served.
    pub config: Arc<Config>,
    /// How many configurations have been served, this one included; from 1.
    pub generation: u64,
    /// Why the file as it is now is not what is served.
    pub refused: Option<Arc<str>>,
}

impl State {
    /// The state a service starts with.
    #[must_use]
    pub fn first(config: Config) -> Self {
        Self { config: Arc::new(config), generation: 1, refused: None }
    }

    /// Takes a new configuration in place of the old one.
    pub fn replace(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.generation = self.generation.saturating_add(1);
        self.refused = None;
    }

    /// Keeps what is served, and remembers why the file is not.
    pub fn refuse(&mut self, reason: &str) {
        self.refused = Some(reason.into());
    }
}
