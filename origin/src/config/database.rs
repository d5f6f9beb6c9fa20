//! `[database]`: the database that holds metadata and access rights.

use std::time::Duration;

use anyhow::Result;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`; it may contain a password.
    pub url: SecretString,
    /// The maximum number of connections in the pool.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
    /// How long a request waits for a free connection.
    #[serde(default = "default_acquire_timeout", with = "humantime_serde")]
    pub acquire_timeout: Duration,
}

impl Database {
    pub(super) fn validate(&self) -> Result<()> {
        let url = self.url.expose_secret();
        anyhow::ensure!(
            ["sqlite:", "postgres://", "postgresql://"].iter().any(|kind| url.starts_with(kind)),
            "[database] url: must be sqlite:PATH or postgres://…"
        );
        anyhow::ensure!(self.max_connections > 0, "[database] max_connections: must be at least 1");
        let accepted = Duration::from_millis(100)..=Duration::from_secs(25);
        anyhow::ensure!(
            accepted.contains(&self.acquire_timeout),
            "[database] acquire_timeout: must be from 100ms to 25s; clients give up after 30s"
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
