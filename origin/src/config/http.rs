//! `[http]`: where an origin listens, and as what clients know it.

use std::net::SocketAddr;

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
}
