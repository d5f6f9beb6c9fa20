//! `config.toml`: GitLab's form (`env`, `cells`), plus `claims` and `cache`, which GitLab keeps
//! in a database. A [`Config`] that exists is valid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::cell::{Cell, CellId, Label, SequenceRange};
use crate::claim::{Claim, ClaimKind, Scalar};
use crate::directory::{Directory, DirectoryError, Entry};

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// The name of the environment, for logs and health answers.
    pub env: String,
    /// How long clients may keep answers.
    pub cache: CacheTtl,
    /// Cells and claims, indexed.
    pub directory: Directory,
}

/// How long clients may keep an answer; sent as `Cache-Control: max-age`, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTtl {
    /// For a Cell that was found.
    pub positive: Duration,
    /// For `NOT_FOUND`.
    pub negative: Duration,
}

/// Why a configuration is refused. The cause is part of the message, so it is no `source` too.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}", file.display())]
    Read {
        /// The file that was asked for.
        file: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is read, and what it says is refused.
    #[error("{}{}: {cause}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Invalid {
        /// The file at fault.
        file: PathBuf,
        /// The line at fault, from 1: that of the table, where a table contradicts another.
        line: Option<usize>,
        /// The field at fault.
        cause: Box<InvalidConfig>,
    },
}

/// What is wrong with a configuration's text; each message names the field.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// Not TOML, an unknown field, or a value of the wrong type; names the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A claim that cannot be owned; names the entry and the field.
    #[error("claims[{entry}]{field}: {message}")]
    Claim {
        /// Where the table begins, in bytes.
        at: usize,
        /// The position of the `[[claims]]` table, from 0.
        entry: usize,
        /// The claim's key with a dot before it, or nothing.
        field: String,
        /// What is wrong with it.
        message: &'static str,
    },
    /// Cells and claims contradict each other.
    #[error("{cause}")]
    Directory {
        /// Where the table at fault begins, in bytes, if it is one.
        at: Option<usize>,
        /// The contradiction.
        cause: DirectoryError,
    },
}

impl InvalidConfig {
    /// The line of `text` at fault, from 1.
    fn line(&self, text: &str) -> Option<usize> {
        let at = match self {
            Self::Toml(error) => error.span()?.start,
            Self::Claim { at, .. } => *at,
            Self::Directory { at, .. } => (*at)?,
        };
        Some(text.bytes().take(at).filter(|byte| *byte == b'\n').count().saturating_add(1))
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the field.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|cause| ConfigError::Read { file: file.to_owned(), cause })?;
        Self::from_toml(&text).map_err(|cause| {
            let line = cause.line(&text);
            ConfigError::Invalid { file: file.to_owned(), line, cause: cause.into() }
        })
    }

    /// Checks a configuration's text.
    ///
    /// # Errors
    /// [`InvalidConfig`], naming the field.
    pub fn from_toml(text: &str) -> Result<Self, InvalidConfig> {
        toml::from_str::<ConfigFields>(text)?.try_into()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFields {
    env: String,
    cells: Vec<Spanned<CellFields>>,
    #[serde(default)]
    claims: Vec<Spanned<ClaimFields>>,
    #[serde(default)]
    cache: CacheFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CellFields {
    id: CellId,
    address: Label,
    registry_address: Option<Label>,
    session_prefix: Option<Label>,
    #[serde(default)]
    sequence_ranges: Vec<SequenceRange>,
    #[serde(default)]
    skip_range_validation: bool,
}

// `flatten` takes every key that is not `cell`; `claims_of` refuses those that are no claim.
#[derive(Deserialize)]
struct ClaimFields {
    cell: CellId,
    #[serde(flatten)]
    claims: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheFields {
    positive_ttl_seconds: u32,
    negative_ttl_seconds: u32,
}

impl Default for CacheFields {
    fn default() -> Self {
        Self { positive_ttl_seconds: 60, negative_ttl_seconds: 10 }
    }
}

impl TryFrom<ConfigFields> for Config {
    type Error = InvalidConfig;

    fn try_from(fields: ConfigFields) -> Result<Self, Self::Error> {
        let mut claims = Vec::new();
        let mut claims_at = Vec::new();
        for (entry, owned) in fields.claims.into_iter().enumerate() {
            let at = owned.span().start;
            let owned = claims_of(entry, at, owned.into_inner())?;
            claims_at.extend(owned.iter().map(|_| at));
            claims.extend(owned);
        }
        let cells_at: Vec<_> = fields.cells.iter().map(|cell| cell.span().start).collect();
        let cells = fields.cells.into_iter().map(|cell| cell.into_inner().into()).collect();
        let directory = Directory::new(cells, claims).map_err(|cause| {
            let at = match cause.entry() {
                Some(Entry::Cell(position)) => cells_at.get(position),
                Some(Entry::Claim(position)) => claims_at.get(position),
                None => None,
            };
            InvalidConfig::Directory { at: at.copied(), cause }
        })?;
        Ok(Self { env: fields.env, cache: fields.cache.into(), directory })
    }
}

impl From<CellFields> for Cell {
    fn from(fields: CellFields) -> Self {
        Self {
            id: fields.id,
            address: fields.address,
            registry_address: fields.registry_address,
            session_prefix: fields.session_prefix,
            sequence_ranges: fields.sequence_ranges,
            skip_range_validation: fields.skip_range_validation,
        }
    }
}

impl From<CacheFields> for CacheTtl {
    fn from(fields: CacheFields) -> Self {
        Self {
            positive: Duration::from_secs(fields.positive_ttl_seconds.into()),
            negative: Duration::from_secs(fields.negative_ttl_seconds.into()),
        }
    }
}

fn claims_of(
    entry: usize,
    at: usize,
    fields: ClaimFields,
) -> Result<Vec<(CellId, Claim)>, InvalidConfig> {
    let ClaimFields { cell, claims } = fields;
    if claims.is_empty() {
        let message = "expected a claim beside `cell`, such as `route`";
        return Err(InvalidConfig::Claim { at, entry, field: String::new(), message });
    }
    claims
        .into_iter()
        .map(|(name, value)| {
            let claim = ownable(&name, value).map_err(|message| InvalidConfig::Claim {
                at,
                entry,
                field: format!(".{name}"),
                message,
            })?;
            Ok((cell, claim))
        })
        .collect()
}

fn ownable(name: &str, value: toml::Value) -> Result<Claim, &'static str> {
    let kind = ClaimKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or("no such kind of claim")?;
    let claim = Claim::new(kind, scalar(value)?)?;
    claim.check_ownable()?;
    Ok(claim)
}

fn scalar(value: toml::Value) -> Result<Scalar, &'static str> {
    match value {
        toml::Value::String(text) => Ok(Scalar::Text(text)),
        toml::Value::Integer(number) => Ok(Scalar::Number(number)),
        _ => Err("expected a string or a whole number"),
    }
}

#[cfg(test)]
mod tests;
