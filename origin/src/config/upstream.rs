//! `[upstream]` and `[upstreams."NAME"]`: the upstream registries.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

pub(super) use settings::named;

mod settings;

/// An upstream registry with its mirrors: one `[upstream]` or `[upstreams."NAME"]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "settings::Settings")]
pub struct Upstream {
    /// The name by which clients select it: the first component of an image's name, or `ns=`.
    pub name: String,
    /// Other values of `ns=` that select it.
    pub aliases: Vec<String>,
    /// The meaning of an image name of one component.
    pub short_names: ShortNames,
    /// The registry itself.
    pub registry: Registry,
    /// Tried in this order before the registry itself.
    pub mirrors: Vec<Registry>,
    /// The non-public addresses that realms, redirects and host names may lead to.
    pub networks: Networks,
    /// The most concurrent requests to each of its hosts.
    pub max_connections: usize,
    /// How long a request waits for a free slot.
    pub queue_timeout: Duration,
    /// The time limit for establishing a connection.
    pub connect_timeout: Duration,
    /// The time limit between two reads, and for the whole body of a manifest, list or token.
    pub read_timeout: Duration,
}

/// One host, with the credential for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The host's root URL.
    pub url: Url,
    /// Sent only to this registry and its token endpoint.
    pub credential: Option<Credential>,
    /// Further hosts that its challenges may name as token endpoint.
    pub allowed_hosts: Vec<String>,
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user name.
    pub username: String,
    /// The password or access token.
    pub password: Password,
}

/// The password or access token of a [`Credential`].
#[derive(Debug, Clone)]
pub enum Password {
    /// The password itself.
    Given(SecretString),
    /// A file that contains the password; a line break at the end is ignored.
    File(PathBuf),
}

/// The non-public addresses that an upstream may lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// Whether loopback and private addresses are allowed; metadata services are not.
    pub allow_private: bool,
    /// Networks whose addresses are allowed, including metadata services.
    pub allowed: Vec<IpNet>,
}

/// The meaning of an image name of one component, as in `containers/alpine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortNames {
    /// `library/alpine`, as at Docker Hub.
    Library,
    /// `alpine`.
    AsIs,
    /// `library/alpine`, or `alpine` if that does not exist.
    LibraryFirst,
}

impl Default for Upstream {
    fn default() -> Self {
        settings::docker_hub()
    }
}

impl Upstream {
    /// Returns a copy with the passwords read from their files.
    ///
    /// # Errors
    /// A file cannot be read or does not contain one line of text; the error names the file.
    pub fn with_passwords(&self) -> Result<Self> {
        let mut read = self.clone();
        for registry in std::iter::once(&mut read.registry).chain(&mut read.mirrors) {
            if let Some(credential) = &mut registry.credential {
                credential.password = credential.password.read()?;
            }
        }
        Ok(read)
    }

    /// Returns the password files of the registry and its mirrors.
    pub fn password_files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.registry).chain(&self.mirrors).filter_map(|registry| match &registry
            .credential
            .as_ref()?
            .password
        {
            Password::File(path) => Some(path),
            Password::Given(_) => None,
        })
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(a), Self::Given(b)) => a.expose_secret() == b.expose_secret(),
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Password {}

impl Password {
    fn read(&self) -> Result<Self> {
        let path = match self {
            Self::Given(_) => return Ok(self.clone()),
            Self::File(path) => path,
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the password_file {}", path.display()))?;
        let password = text.trim_end_matches(['\r', '\n']);
        let usable = !password.is_empty() && !password.contains(char::is_control);
        anyhow::ensure!(usable, "the password_file {} is not one line of text", path.display());
        Ok(Self::Given(SecretString::from(password.to_owned())))
    }
}

/// Whether docker clients take this first component of a name for a host: `quay.io` and `localhost`,
/// but not `library`.
#[must_use]
pub fn is_host_like(name: &str) -> bool {
    name.contains(['.', ':']) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
