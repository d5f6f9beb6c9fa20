//! `[upstream]` and `[upstreams."NAME"]`: the registries that are cached.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

pub(super) use settings::named;

mod settings;

/// A registry with its mirrors, as `[upstream]` or `[upstreams."NAME"]` describe it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "settings::Settings")]
pub struct Upstream {
    /// How clients choose it: the first part of an image's name, or `ns=`.
    pub name: String,
    /// Other values of `ns=` that mean it.
    pub aliases: Vec<String>,
    /// What a one-part image name means there.
    pub short_names: ShortNames,
    /// The registry itself.
    pub registry: Registry,
    /// Asked in this order before the registry itself.
    pub mirrors: Vec<Registry>,
    /// Where realms, redirects and names may lead.
    pub networks: Networks,
    /// Requests under way at most, at each of its registries.
    pub max_connections: usize,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a registry may send nothing, and how long an answer that is no blob may take to come.
    pub read_timeout: Duration,
}

/// One host to ask, and by what login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its root URL.
    pub url: Url,
    /// Sent only to this registry and its token endpoint.
    pub credential: Option<Credential>,
    /// Other hosts that its realms may lead to.
    pub allowed_hosts: Vec<String>,
}

/// A user name and where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user's name.
    pub username: String,
    /// What goes with it.
    pub password: Password,
}

/// The password or access token of a [`Credential`].
#[derive(Debug, Clone)]
pub enum Password {
    /// As it stands in the configuration.
    Given(SecretString),
    /// The content of this file, without the line break at its end.
    File(PathBuf),
}

/// Which addresses that are not public an upstream may lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// Loopback and private ones, but not those of a cloud's metadata service.
    pub allow_private: bool,
    /// Whatever lies in these.
    pub allowed: Vec<IpNet>,
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
        settings::docker_hub()
    }
}

impl Upstream {
    /// With the passwords that are in files now.
    ///
    /// # Errors
    /// A file cannot be read or holds nothing usable; the text names it.
    pub fn with_passwords(&self) -> Result<Self> {
        let mut read = self.clone();
        for registry in std::iter::once(&mut read.registry).chain(&mut read.mirrors) {
            if let Some(credential) = &mut registry.credential {
                credential.password = credential.password.read()?;
            }
        }
        Ok(read)
    }

    /// The files its passwords are in.
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

/// Whether this can only be a host, as docker clients see it: `quay.io` and `localhost`, but not
/// `library`.
#[must_use]
pub fn is_host_like(name: &str) -> bool {
    name.contains(['.', ':']) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
