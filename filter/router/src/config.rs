//! The JSON a filter is configured with: the serde model, as written. [`crate::Ruleset`] compiles
//! the ruleset in it; what is refused there and here is a [`ConfigError`] naming rule and field.

mod one_or_many;
mod ruleset;
mod unique;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use one_or_many::OneOrMany;
pub use ruleset::{
    ActionModel, ClaimModel, ClassifyModel, ClassifyType, MatchModel, OnUnavailable, ProxyModel,
    RuleModel, RulesetModel, Target, TransformModel, ValidateModel,
};

/// Why a configuration is refused; the text names the rule's id, if in one, and the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No JSON, an unknown or missing field, or a value of the wrong type.
    #[error("{field}: {problem}")]
    Json {
        /// The field's path, such as `cache.maxEntries`; `.` is the whole document.
        field: String,
        /// What serde says of it.
        problem: String,
    },
    /// A value that is well-formed but cannot be.
    #[error("{field}: {problem}")]
    Value {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A rule that is well-formed but cannot be.
    #[error("rule `{rule}`, {field}: {problem}")]
    Rule {
        /// The rule's id, or `#n` (from 1) where it has none.
        rule: String,
        /// The rule's field, such as `classify[0].value`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads any of this module's documents.
///
/// # Errors
/// [`ConfigError::Json`] with the path of the field at fault.
pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // Where the text ends before a key does, the path ends in `?`.
        let path = error.path().to_string();
        let field = path.trim_end_matches('?').trim_end_matches('.');
        let field = if field.is_empty() { "." } else { field }.to_owned();
        ConfigError::Json { field, problem: error.inner().to_string() }
    })?;
    let trailing = |error: serde_json::Error| ConfigError::Json {
        field: ".".to_owned(),
        problem: error.to_string(),
    };
    deserializer.end().map_err(trailing)?;
    Ok(read)
}

/// Reads any JSON in which no object has a key twice.
///
/// # Errors
/// [`ConfigError::Json`] with the path of the object at fault.
pub fn unique_json(json: &[u8]) -> Result<Value, ConfigError> {
    from_json::<unique::Unique>(json).map(Value::from)
}

/// More would make one request's fan-out a weapon.
const MAX_NAMESPACES: usize = 100;

/// What Envoy hands the filter as its plugin configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterConfig {
    /// Whom to ask.
    pub topology_service: TopologyService,
    /// How answers are kept.
    #[serde(default)]
    pub cache: CacheConfig,
    /// Distinct namespaces one request may ask for, 1 to 100.
    #[serde(default = "default_max_namespaces")]
    pub max_namespaces: usize,
    /// Where a `proxy` rule without an address goes.
    #[serde(default)]
    pub proxy_address: Option<String>,
    /// Whether responses carry `x-cell` and `x-cell-rule`.
    #[serde(default)]
    pub response_headers: bool,
    /// The rules.
    pub ruleset: RulesetModel,
}

impl FilterConfig {
    /// What must hold beyond the types; the ruleset has its own checks.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let topology = &self.topology_service;
        let namespaces = 1..=MAX_NAMESPACES;
        // Istio's cluster names hold `|`, so this is wider than an address.
        let named = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let minute = |milliseconds: u64| (1..=60_000).contains(&milliseconds);
        let not_a_minute = "must be 1 to 60000";
        for (holds, field, problem) in [
            (named(&topology.cluster), "topologyService.cluster", "not a cluster's name"),
            (named(&topology.authority), "topologyService.authority", "not a host"),
            (minute(topology.timeout_ms), "topologyService.timeoutMs", not_a_minute),
            (topology.retries <= 10, "topologyService.retries", "must be 0 to 10"),
            (minute(topology.backoff_ms), "topologyService.backoffMs", not_a_minute),
            (minute(topology.budget_ms), "topologyService.budgetMs", not_a_minute),
            (self.cache.max_entries >= 2, "cache.maxEntries", "must be at least 2"),
            (namespaces.contains(&self.max_namespaces), "maxNamespaces", "must be 1 to 100"),
        ] {
            if !holds {
                return Err(ConfigError::Value { field, problem });
            }
        }
        Ok(())
    }
}

fn default_max_namespaces() -> usize {
    10
}

/// The Topology Service as Envoy knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologyService {
    /// Envoy's cluster.
    pub cluster: String,
    /// The `:authority` of calls.
    pub authority: String,
    /// Milliseconds for one call, 1 to 60000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// How often a question is asked again after a passing failure, 0 to 10.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Milliseconds before the first retry, 1 to 60000; doubled for each further one, 250 at most
    /// unless this is more, and up to a half less by chance.
    #[serde(default = "default_backoff_ms")]
    pub backoff_ms: u64,
    /// Milliseconds one request waits for answers, retries and all, 1 to 60000.
    #[serde(default = "default_budget_ms")]
    pub budget_ms: u64,
    /// Where its design puts the registry's address.
    #[serde(default)]
    pub registry_design: RegistryDesign,
}

fn default_timeout_ms() -> u64 {
    1000
}

fn default_retries() -> u32 {
    2
}

fn default_backoff_ms() -> u64 {
    50
}

fn default_budget_ms() -> u64 {
    2500
}

/// How a Topology Service tells a Cell's registry from its web address; both designs exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegistryDesign {
    /// Every answer has `proxy.registryAddress` beside `proxy.address` (as built by GitLab).
    #[default]
    Answer,
    /// The request says `target: REGISTRY`, the answer's `proxy.address` is of that (Cells ADR 017).
    Request,
}

/// Bounds and lifetimes of kept answers; a `Cache-Control: max-age` in an answer wins.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Answers kept per worker, of each kind (found, not found).
    pub max_entries: usize,
    /// Seconds a Cell that was found stays fresh.
    pub positive_ttl_seconds: u32,
    /// Seconds a "not found" stays fresh.
    pub negative_ttl_seconds: u32,
    /// Seconds an expired Cell still serves while it is asked for anew; a `Cache-Control:
    /// stale-while-revalidate` in an answer wins.
    pub stale_while_revalidate_seconds: u32,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            positive_ttl_seconds: 60,
            negative_ttl_seconds: 10,
            stale_while_revalidate_seconds: 30,
        }
    }
}

#[cfg(test)]
mod tests;
