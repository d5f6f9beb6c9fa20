//! `[http]`: the addresses to bind, and the URL that clients use.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address and port to bind.
    pub listen: SocketAddr,
    /// The URL at which clients reach the edge. The token realm is derived from it.
    #[serde(deserialize_with = "super::host_url::http_url")]
    pub external_url: Url,
    /// The address that serves metrics and health checks; `None` disables it.
    pub metrics_listen: Option<SocketAddr>,
    /// How long new connections are still accepted after the signal to stop, while readiness fails.
    #[serde(default, with = "humantime_serde")]
    pub drain_delay: Duration,
    /// How long responses and fetches in progress may take to finish after that.
    #[serde(default = "default_shutdown_timeout", with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// Whether blobs are sent over HTTP/1 with `sendfile`, without copying them through the process.
    #[serde(default = "zero_copy")]
    pub zero_copy: bool,
}

fn zero_copy() -> bool {
    true
}

fn default_shutdown_timeout() -> Duration {
    Duration::from_mins(5)
}
