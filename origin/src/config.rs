//! The configuration file: TOML, every key documented in `origin.example.toml`, which a test loads.
//!
//! A [`Config`] that exists is a valid one; an error names the file and the key.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use url::Url;

pub use cache::{Cache, WhenRefused};
pub use database::Database;
pub use http::Http;
pub use limits::Limits;
pub use secret::Secret;
pub use store::Store;
pub use upstream::{Credential, Networks, Password, Registry, ShortNames, Upstream, is_host_like};

mod cache;
mod database;
mod http;
mod limits;
mod secret;
pub mod store;
mod upstream;

/// Everything an origin is told at start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which Cell this is.
    pub cell: Cell,
    /// Where it listens, and as what clients know it.
    pub http: Http,
    /// What clients may take.
    #[serde(default)]
    pub limits: Limits,
    /// Where rows live.
    pub database: Database,
    /// Where bytes live.
    pub store: Store,
    /// Tokens it issues.
    #[serde(default)]
    pub auth: Auth,
    /// The registry it caches where an image names no other.
    #[serde(default)]
    pub upstream: Upstream,
    /// The others.
    #[serde(default, deserialize_with = "upstream::named")]
    pub upstreams: Vec<Upstream>,
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

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// PKCS#8 PEM file of a P-256 key; made at the first start where it is missing.
    pub signing_key: PathBuf,
    /// How long an issued JWT is good.
    #[serde(with = "humantime_serde")]
    pub token_life: Duration,
    /// How long a member who was let in is let in unasked; zero: not at all.
    #[serde(with = "humantime_serde")]
    pub membership_cache: Duration,
    /// The `iss` of issued JWTs; empty: `cell-ID`.
    pub issuer: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            signing_key: "signing-key.pem".into(),
            token_life: Duration::from_secs(15 * 60),
            membership_cache: Duration::from_secs(2),
            issuer: String::new(),
        }
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
        anyhow::ensure!(
            self.auth.token_life >= Duration::from_secs(60),
            "[auth] token_life: at least 60s, or clients log in again for every request"
        );
        let default = &self.upstream.name;
        anyhow::ensure!(
            self.upstreams.iter().all(|upstream| upstream.name != *default),
            "[upstreams.\"{default}\"]: the default upstream has this name; see [upstream] name"
        );
        self.database.check()?;
        self.limits.check()?;
        self.cache.check()?;
        self.store.check()
    }
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
pub(crate) mod tests;
