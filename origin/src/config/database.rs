//! `[database]`: where rows live.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::Secret;

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub url: Secret,
    /// Connections kept at most.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
    /// How long a request waits for a connection.
    #[serde(default = "default_acquire_timeout", with = "humantime_serde")]
    pub acquire_timeout: Duration,
}

impl Database {
    pub(super) fn check(&self) -> Result<()> {
        let url = self.url.expose();
        anyhow::ensure!(
            ["sqlite:", "postgres://", "postgresql://"].iter().any(|kind| url.starts_with(kind)),
            "[database] url: only sqlite:PATH and postgres://… are offered"
        );
        anyhow::ensure!(self.max_connections > 0, "[database] max_connections: at least 1");
        let patience = Duration::from_millis(100)..=Duration::from_secs(25);
        anyhow::ensure!(
            patience.contains(&self.acquire_timeout),
            "[database] acquire_timeout: from 100ms to 25s, as clients wait for 30s"
        );
        Ok(())
    }
}

fn default_connections() -> u32 {
    8
}

fn default_acquire_timeout() -> Duration {
    Duration::from_secs(5)
}
