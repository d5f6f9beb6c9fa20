//! The filter's JSON configuration: the serde models of what users write. [`crate::Ruleset`] compiles
//! the ruleset. Both report errors as [`ConfigError`], which names the rule and the field.

mod error;
mod one_or_many;
mod ruleset;
mod unique;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::ConfigError;
pub use one_or_many::OneOrMany;
pub use ruleset::{
    ActionModel, ClaimModel, ClassifyModel, ClassifyType, MatchModel, OnUnavailable, ProxyModel,
    RuleModel, RulesetModel, Target, TransformModel, ValidateModel,
};

/// Parses any of this module's documents.
///
/// # Errors
/// [`ConfigError::Json`] names the path of the invalid field.
pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // The path ends in `?` if the text ends within a key.
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

/// Parses any JSON in which no object has a repeated key.
///
/// # Errors
/// [`ConfigError::Json`] names the path of the invalid object.
pub fn unique_json(json: &[u8]) -> Result<Value, ConfigError> {
    from_json::<unique::Unique>(json).map(Value::from)
}

/// The highest allowed `maxNamespaces`: a single request must not cause a flood of calls.
const MAX_NAMESPACES: usize = 100;

/// The plugin configuration that Envoy passes to the filter.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterConfig {
    /// The Topology Service.
    pub topology_service: TopologyService,
    /// How classifications are cached.
    #[serde(default)]
    pub cache: CacheConfig,
    /// The number of distinct namespaces in one request, 1 to 100.
    #[serde(default = "default_max_namespaces")]
    pub max_namespaces: usize,
    /// The address for `proxy` rules that have none.
    #[serde(default)]
    pub proxy_address: Option<String>,
    /// Whether responses carry `x-cell` and `x-cell-rule`.
    #[serde(default)]
    pub response_headers: bool,
    /// The rules.
    pub ruleset: RulesetModel,
}

impl FilterConfig {
    /// Checks the values; the ruleset is checked separately.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let topology = &self.topology_service;
        let namespaces = 1..=MAX_NAMESPACES;
        // Wider than a Cell's address, because Istio's cluster names contain `|`.
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let in_a_minute = |milliseconds: u64| (1..=60_000).contains(&milliseconds);
        let out_of_range = "must be 1 to 60000";
        for (holds, field, problem) in [
            (is_name(&topology.cluster), "topologyService.cluster", "not a valid cluster name"),
            (is_name(&topology.authority), "topologyService.authority", "not a valid host"),
            (in_a_minute(topology.timeout_ms), "topologyService.timeoutMs", out_of_range),
            (topology.retries <= 10, "topologyService.retries", "must be 0 to 10"),
            (in_a_minute(topology.backoff_ms), "topologyService.backoffMs", out_of_range),
            (in_a_minute(topology.budget_ms), "topologyService.budgetMs", out_of_range),
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

/// How Envoy reaches the Topology Service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologyService {
    /// The name of Envoy's cluster.
    pub cluster: String,
    /// The `:authority` of calls.
    pub authority: String,
    /// The timeout of one call in milliseconds, 1 to 60000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// The number of retries after a transient failure, 0 to 10.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// The backoff before the first retry in milliseconds, 1 to 60000. It doubles with each retry up
    /// to 250, or this value if larger, and jitter shortens it by up to a half.
    #[serde(default = "default_backoff_ms")]
    pub backoff_ms: u64,
    /// The milliseconds that one request waits for the service, including retries, 1 to 60000.
    #[serde(default = "default_budget_ms")]
    pub budget_ms: u64,
    /// How the service returns the address of a Cell's registry.
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

/// How a Topology Service distinguishes a Cell's registry address from its web address. Both designs
/// exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegistryDesign {
    /// Each response has `proxy.registryAddress` next to `proxy.address` (GitLab's implementation).
    #[default]
    Answer,
    /// The request has `target: REGISTRY`, and `proxy.address` is the address of that target (Cells
    /// ADR 017).
    Request,
}

/// The bounds and lifetimes of cached classifications. `Cache-Control: max-age` in a response
/// overrides the lifetimes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The number of entries per worker and kind (found, not found).
    pub max_entries: usize,
    /// The seconds for which a found Cell is fresh.
    pub positive_ttl_seconds: u32,
    /// The seconds for which a "not found" is fresh.
    pub negative_ttl_seconds: u32,
    /// The seconds for which an expired Cell is served while it is revalidated. `Cache-Control:
    /// stale-while-revalidate` in a response overrides it.
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
