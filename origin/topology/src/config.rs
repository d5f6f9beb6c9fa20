//! `topology.toml`: GitLab's format (`env`, `cells`), plus `claims`, which GitLab keeps in a
//! database, and `cache`. Every value of [`Config`] is a valid configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::cell::{Cell, CellId, Label, SequenceRange};
use crate::claim::{Claim, ClaimKind, Scalar};
use crate::directory::{Directory, DirectoryError, EntryPosition};

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// The name of the environment, for logs and health responses.
    pub env: String,
    /// How long clients may cache responses.
    pub cache: CacheTtl,
    /// The Cells and claims, indexed.
    pub directory: Directory,
}

/// How long clients may cache a response; sent as `Cache-Control: max-age`, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTtl {
    /// If a Cell was found.
    pub positive: Duration,
    /// If none was found.
    pub negative: Duration,
}

/// Why a configuration is invalid. The message includes the cause, so `source` does not repeat it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The content of the file is invalid.
    #[error("{}{}: {cause}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Invalid {
        /// The file at fault.
        file: PathBuf,
        /// The line at fault, from 1; if two tables contradict each other, that of the second one.
        line: Option<usize>,
        /// What is wrong, and in which field.
        cause: Box<InvalidConfig>,
    },
}

/// Why the text of a configuration is invalid; each message names the field.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// Not TOML, an unknown field, or a value of the wrong type; the message names the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A claim that no Cell can own; the message names the table and the field.
    #[error("claims[{entry}]{field}: {message}")]
    Claim {
        /// The offset of the table in bytes.
        at: usize,
        /// The position of the `[[claims]]` table, from 0.
        entry: usize,
        /// The key of the claim after a dot, or empty.
        field: String,
        /// What is wrong with the claim.
        message: &'static str,
    },
    /// Cells and claims contradict each other.
    #[error("{cause}")]
    Directory {
        /// The offset of the table at fault in bytes, if a single one is.
        at: Option<usize>,
        /// The contradiction.
        cause: DirectoryError,
    },
}

impl InvalidConfig {
    /// Returns the line of `text` at fault, from 1.
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

// `flatten` collects every key except `cell`; `claims_of` rejects those that name no kind of claim.
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
                Some(EntryPosition::Cell(position)) => cells_at.get(position),
                Some(EntryPosition::Claim(position)) => claims_at.get(position),
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
        let message = "expected at least one claim, such as `route`";
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
        .ok_or("unknown kind of claim")?;
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
