//! `[upstream]`: the registries that are cached.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use url::Url;

use super::{Secret, http_url};

/// `[upstream]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// The registry's root URL.
    #[serde(deserialize_with = "http_url")]
    pub url: Url,
    /// What a one-part image name means there.
    pub short_names: ShortNames,
    /// Sent only to this registry and its token endpoint.
    pub username: Option<String>,
    /// The password or access token that goes with `username`.
    pub password: Option<Secret>,
    /// Realms and redirects may lead to loopback and private addresses.
    pub allow_private_networks: bool,
    /// Other hosts that realms may lead to.
    pub allowed_hosts: Vec<String>,
    /// How long a connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the upstream may send nothing.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
}

/// What a one-part image name, as in `containers/alpine`, means at the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortNames {
    /// `library/alpine`, as Docker Hub means it.
    Library,
    /// `alpine` as it stands.
    AsIs,
    /// `library/alpine`, and where that does not exist, `alpine`.
    LibraryFirst,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: docker_hub(),
            short_names: ShortNames::Library,
            username: None,
            password: None,
            allow_private_networks: false,
            allowed_hosts: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }
}

impl Upstream {
    pub(super) fn check(&self) -> Result<()> {
        anyhow::ensure!(
            self.username.is_some() == self.password.is_some(),
            "[upstream] username and password: give both or neither"
        );
        Ok(())
    }
}

fn docker_hub() -> Url {
    #[expect(clippy::expect_used, reason = "a literal that a test parses")]
    Url::parse("https://registry-1.docker.io").expect("a valid URL")
}
