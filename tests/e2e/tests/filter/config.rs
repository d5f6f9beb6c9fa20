//! Filter configurations.

use serde_json::{Value, json};
use wasm_host::FilterHost;

/// Two rules: the first classifies by the path's namespace, the second sends the rest to the first
/// Cell. Calls are not retried.
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

/// A host with [`two_rules`] and two retries of each call within a second.
pub(crate) fn with_retries() -> FilterHost {
    let mut configuration = two_rules();
    configuration["topologyService"]["retries"] = 2.into();
    configuration["topologyService"]["budgetMs"] = 1000.into();
    start(&configuration)
}

/// A host with a valid configuration.
pub(crate) fn start(configuration: &Value) -> FilterHost {
    harness::filter::start(configuration.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

/// A host with a ruleset of the repository.
pub(crate) fn shipped(ruleset: &str) -> FilterHost {
    harness::replay::shipped(ruleset).unwrap_or_else(|error| panic!("{ruleset}: {error:#}"))
}
