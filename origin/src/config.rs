//! The configuration file: TOML, every key documented in `origin.example.toml`, which a test loads.
//!
//! A [`Config`] that exists is a valid one; an error names the file and the key.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use url::Url;

pub use crate::config::secret::Secret;

mod secret;

/// Everything an origin is told at start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which Cell this is.
    pub cell: Cell,
    /// Where it listens, and as what clients know it.
    pub http: Http,
    /// Where rows live.
    pub database: Database,
    /// Where bytes live.
    pub store: Store,
    /// Tokens it issues.
    #[serde(default)]
    pub auth: Auth,
    /// The registry it caches.
    #[serde(default)]
    pub upstream: Upstream,
    /// When it answers from the cache.
    #[serde(default)]
    pub cache: Cache,
}

/// `[cell]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The Cell's number in the Topology Service, from 1.
    #[serde(deserialize_with = "positive")]
    pub id: u64,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address and port to bind.
    pub listen: SocketAddr,
    /// The URL under which clients reach the edge; token realms are built from it.
    #[serde(deserialize_with = "http_url")]
    pub external_url: Url,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub url: Secret,
    /// Connections kept at most.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///absolute/folder`, or `memory:` for tests.
    pub url: Url,
    /// A folder on a local disk where blobs grow until they are complete.
    pub spool: PathBuf,
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// PKCS#8 PEM file of a P-256 key; made at the first start where it is missing.
    pub signing_key: PathBuf,
    /// How long an issued JWT is good.
    #[serde(with = "humantime_serde")]
    pub token_life: Duration,
    /// The `iss` of issued JWTs; empty: `cell-ID`.
    pub issuer: String,
}

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

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// What a cached tag is worth when the upstream answers 401, 403 or 404 for it.
    pub when_refused: WhenRefused,
}

/// See [`Cache::when_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenRefused {
    /// The client sees the refusal.
    Honest,
    /// The client gets the cached copy, marked stale.
    ServeStale,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            signing_key: "signing-key.pem".into(),
            token_life: Duration::from_secs(15 * 60),
            issuer: String::new(),
        }
    }
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

impl Default for Cache {
    fn default() -> Self {
        Self { when_refused: WhenRefused::Honest }
    }
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// The file cannot be read, or a key is unknown, missing or wrong; the text names both.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Checks a configuration's text.
    ///
    /// # Errors
    /// As [`Config::load`], without the file's name.
    pub fn parse(text: &str) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.check()?;
        if config.auth.issuer.is_empty() {
            config.auth.issuer = format!("cell-{}", config.cell.id);
        }
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let upstream = &self.upstream;
        anyhow::ensure!(
            upstream.username.is_some() == upstream.password.is_some(),
            "[upstream] username and password: give both or neither"
        );
        anyhow::ensure!(
            self.auth.token_life >= Duration::from_secs(60),
            "[auth] token_life: at least 60s, or clients log in again for every request"
        );
        anyhow::ensure!(
            matches!(self.store.url.scheme(), "file" | "memory"),
            "[store] url: `{}:` is not offered, only file: and memory:",
            self.store.url.scheme()
        );
        Ok(())
    }
}

fn default_connections() -> u32 {
    8
}

fn docker_hub() -> Url {
    #[expect(clippy::expect_used, reason = "a literal that a test parses")]
    Url::parse("https://registry-1.docker.io").expect("a valid URL")
}

fn positive<'de, D: serde::Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let id = u64::deserialize(input)?;
    if id == 0 { Err(serde::de::Error::custom("a Cell's id starts at 1")) } else { Ok(id) }
}

fn http_url<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Url, D::Error> {
    let url = Url::deserialize(input)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(serde::de::Error::custom(format!("`{url}` is not an http(s) URL")));
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(serde::de::Error::custom("only scheme, host and port belong here"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
