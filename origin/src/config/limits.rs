//! `[limits]`: what clients may take.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// hyper's least buffer.
const LEAST_HEAD: usize = 8192;

/// `[limits]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time; whoever comes besides gets 503.
    pub max_connections: usize,
    /// Bytes of a request's head.
    pub max_head_bytes: usize,
    /// HTTP/2 requests at a time on one connection.
    pub max_streams: u32,
    /// How long a request's head may take, from its first byte or the connection's begin.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// How long a connection may lie idle between two requests.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of its answer.
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
            // Longer than Envoy keeps an idle connection (1h), which else may send into a closed one.
            idle_timeout: Duration::from_mins(65),
            send_timeout: Duration::from_mins(5),
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.max_connections > 0, "[limits] max_connections: at least 1");
        ensure!(self.max_streams > 0, "[limits] max_streams: at least 1");
        ensure!(
            self.max_head_bytes >= LEAST_HEAD,
            "[limits] max_head_bytes: at least {LEAST_HEAD}"
        );
        for (key, timeout) in [
            ("head_timeout", self.head_timeout),
            ("idle_timeout", self.idle_timeout),
            ("send_timeout", self.send_timeout),
        ] {
            ensure!(!timeout.is_zero(), "[limits] {key}: longer than nothing");
        }
        Ok(())
    }
}
