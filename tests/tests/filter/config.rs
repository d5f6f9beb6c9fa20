//! Filter configurations.

use e2e::host::FilterHost;
use serde_json::{Value, json};

/// Two rules: a path's namespace decides, and what is left goes to the first Cell. Nothing is asked
/// twice.
pub(crate) fn two_rules() -> Value {
    json!({
        "topologyService": {"cluster": "topology", "authority": "topology.example",
            "timeoutMs": 250, "retries": 0},
        "cache": {"maxEntries": 100, "positiveTtlSeconds": 60, "negativeTtlSeconds": 10},
        "responseHeaders": true,
        "ruleset": {"rules": [
            {"id": "namespace", "action": "classify",
             "match": {"type": "path", "regexValue": "/v2/(?<namespace>[^/]+)/.*"},
             "classify": {"claims": [{"route": "${namespace}"}]}},
            {"id": "first-cell", "action": "classify", "classify": {"type": "FIRST_CELL"}},
        ]},
    })
}

/// A host with [`two_rules`].
pub(crate) fn host() -> FilterHost {
    start(&two_rules())
}

/// A host with [`two_rules`], which asks twice again what failed, within a second.
pub(crate) fn patient() -> FilterHost {
    let mut configuration = two_rules();
    configuration["topologyService"]["retries"] = 2.into();
    configuration["topologyService"]["budgetMs"] = 1000.into();
    start(&configuration)
}

/// A host with any configuration that is valid.
pub(crate) fn start(configuration: &Value) -> FilterHost {
    FilterHost::start(configuration.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

/// A host with a ruleset of the repository.
pub(crate) fn shipped(ruleset: &str) -> FilterHost {
    e2e::replay::shipped(ruleset).unwrap_or_else(|error| panic!("{ruleset}: {error:#}"))
}
