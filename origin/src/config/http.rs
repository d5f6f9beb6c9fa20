//! `[http]`: where an origin listens, and as what clients know it.

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
    /// The URL under which clients reach the edge; token realms are built from it.
    #[serde(deserialize_with = "super::http_url")]
    pub external_url: Url,
    /// Where metrics are served, and health too; nowhere unless set.
    pub metrics_listen: Option<SocketAddr>,
    /// Between the signal to stop, when readiness fails, and the end of listening.
    #[serde(default, with = "humantime_serde")]
    pub drain_delay: Duration,
    /// How long answers and fetches under way may take to end after that.
    #[serde(default = "shutdown_timeout", with = "humantime_serde")]
    pub shutdown_timeout: Duration,
}

fn shutdown_timeout() -> Duration {
    Duration::from_mins(5)
}
