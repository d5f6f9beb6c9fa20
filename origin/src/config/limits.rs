//! `[limits]`: limits on clients.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// The minimum size of hyper's read buffer.
const MIN_HEAD_BYTES: usize = 8192;

/// `[limits]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The maximum number of connections. Further ones receive 503 and are closed.
    pub max_connections: usize,
    /// The maximum size of a request head in bytes.
    pub max_head_bytes: usize,
    /// The maximum number of concurrent HTTP/2 requests on one connection.
    pub max_streams: u32,
    /// How long a request head may take to arrive, from its first byte or from the accepted connection.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How long a client may stall, reading nothing of its response.
    #[serde(with = "humantime_serde")]
    pub send_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_head_bytes: 64 * 1024,
            max_streams: 100,
            head_timeout: Duration::from_secs(30),
            // Longer than the hour that Envoy keeps an idle connection, or Envoy may send a request on a
            // connection that is being closed.
            idle_timeout: Duration::from_mins(65),
            send_timeout: Duration::from_mins(5),
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<()> {
        ensure!(self.max_connections > 0, "[limits] max_connections: must be at least 1");
        ensure!(self.max_streams > 0, "[limits] max_streams: must be at least 1");
        ensure!(
            self.max_head_bytes >= MIN_HEAD_BYTES,
            "[limits] max_head_bytes: must be at least {MIN_HEAD_BYTES}"
        );
        for (key, timeout) in [
            ("head_timeout", self.head_timeout),
            ("idle_timeout", self.idle_timeout),
            ("send_timeout", self.send_timeout),
        ] {
            ensure!(!timeout.is_zero(), "[limits] {key}: must be greater than zero");
        }
        Ok(())
    }
}
