//! The configuration file, in TOML. `origin.example.toml` documents every key; a test verifies that.
//!
//! A [`Config`] is always valid. An error names the file, the section and the key.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;

pub use cache::{Cache, WhenRefused};
pub use database::Database;
pub use http::Http;
pub use limits::Limits;
pub use secrecy::{ExposeSecret, SecretString};
pub use store::Store;
pub use upstream::{Credential, Networks, Password, Registry, ShortNames, Upstream, is_host_like};

mod cache;
mod database;
mod host_url;
mod http;
mod limits;
mod store;
mod upstream;

/// The configuration of one origin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Cell that this origin belongs to.
    pub cell: Cell,
    /// The addresses to bind, and the URL that clients use.
    pub http: Http,
    /// The limits on clients.
    #[serde(default)]
    pub limits: Limits,
    /// The database, which holds metadata and access rights.
    pub database: Database,
    /// The store, which holds the bytes of blobs and manifests.
    pub store: Store,
    /// The tokens that the origin issues.
    #[serde(default)]
    pub auth: Auth,
    /// The default upstream: the registry of images that do not name another.
    #[serde(default)]
    pub upstream: Upstream,
    /// The other upstreams.
    #[serde(default, deserialize_with = "upstream::named")]
    pub upstreams: Vec<Upstream>,
    /// The rules for serving from the cache.
    #[serde(default)]
    pub cache: Cache,
}

/// `[cell]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The ID of the Cell in the Topology Service, at least 1.
    #[serde(deserialize_with = "cell_id")]
    pub id: u64,
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The PKCS#8 PEM file of the P-256 key that signs JWTs. It is created if it does not exist.
    pub signing_key: PathBuf,
    /// The lifetime of an issued JWT, at least 60 s.
    #[serde(with = "humantime_serde")]
    pub token_life: Duration,
    /// How long a successful membership check is cached; zero disables the cache.
    #[serde(with = "humantime_serde")]
    pub membership_cache: Duration,
    /// The `iss` claim of issued JWTs; `cell-ID` if empty.
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
    /// Loads and validates a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or a key is unknown, missing or invalid. The text names the file and
    /// the key.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Parses and validates the text of a configuration file.
    ///
    /// # Errors
    /// As for [`Config::load`], without the name of the file.
    pub fn parse(text: &str) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.validate()?;
        if config.auth.issuer.is_empty() {
            config.auth.issuer = format!("cell-{}", config.cell.id);
        }
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        anyhow::ensure!(
            self.auth.token_life >= Duration::from_secs(60),
            "[auth] token_life: must be at least 60s; clients would log in again for almost every request"
        );
        let default = &self.upstream.name;
        anyhow::ensure!(
            self.upstreams.iter().all(|upstream| upstream.name != *default),
            "[upstreams.\"{default}\"]: the default upstream already has this name; configure it in \
             [upstream]"
        );
        self.database.validate()?;
        self.limits.validate()?;
        self.cache.validate()?;
        self.store.validate()
    }
}

fn cell_id<'de, D: serde::Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let id = u64::deserialize(input)?;
    if id == 0 { Err(serde::de::Error::custom("[cell] id: must be at least 1")) } else { Ok(id) }
}

#[cfg(test)]
pub(crate) mod tests;
