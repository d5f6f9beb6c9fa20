use serde_json::{Value, json};

use super::*;
use crate::Router;

fn minimal() -> Value {
    json!({
        "topologyService": {"cluster": "topology", "authority": "topology"},
        "ruleset": {"rules": [
            {"id": "last", "action": "classify", "classify": {"type": "FIRST_CELL"}},
        ]},
    })
}

fn error(config: &Value) -> String {
    Router::from_json(config.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn only_the_topology_service_and_the_ruleset_are_required() {
    let config: FilterConfig = from_json(minimal().to_string().as_bytes()).unwrap();
    assert_eq!(config.topology_service.timeout_ms, 1000);
    assert_eq!(config.max_namespaces, 10);
    assert!(!config.response_headers);
    assert_eq!(
        (
            config.cache.max_entries,
            config.cache.positive_ttl_seconds,
            config.cache.negative_ttl_seconds
        ),
        (10_000, 60, 10)
    );
    for field in ["topologyService", "ruleset"] {
        let mut config = minimal();
        config.as_object_mut().unwrap().remove(field);
        assert!(error(&config).contains(field), "{}", error(&config));
    }
}

#[test]
fn the_error_names_an_unknown_or_invalid_field() {
    for (pointer, field, value, expected) in [
        ("", "cach", json!({}), "cach: unknown field `cach`"),
        ("", "cache", json!({"ttl": 1}), "cache.ttl: unknown field `ttl`"),
        ("", "cache", json!({"maxEntries": -1}), "cache.maxEntries: invalid value"),
        ("", "cache", json!({"maxEntries": 1}), "cache.maxEntries: must be at least 2"),
        ("", "maxNamespaces", json!(0), "maxNamespaces: must be 1 to 100"),
        ("", "maxNamespaces", json!(101), "maxNamespaces: must be 1 to 100"),
        ("/topologyService", "timeoutMs", json!(0), "topologyService.timeoutMs: must be 1"),
        ("/topologyService", "retries", json!(11), "topologyService.retries: must be 0 to 10"),
        ("/topologyService", "backoffMs", json!(0), "topologyService.backoffMs: must be 1"),
        ("/topologyService", "budgetMs", json!(60_001), "topologyService.budgetMs: must be 1"),
        ("/topologyService", "cluster", json!(7), "topologyService.cluster: invalid type"),
        ("/topologyService", "cluster", json!(""), "topologyService.cluster: not a valid cluster"),
        (
            "/topologyService",
            "authority",
            json!("a b"),
            "topologyService.authority: not a valid host",
        ),
        ("/ruleset", "rule", json!([]), "ruleset.rule: unknown field `rule`"),
        ("/ruleset", "rules", json!([]), "rules: a ruleset must have at least one rule"),
    ] {
        let mut config = minimal();
        config.pointer_mut(pointer).unwrap()[field] = value;
        assert!(error(&config).starts_with(expected), "{}", error(&config));
    }
}

#[test]
fn exactly_one_json_document_is_accepted() {
    for text in ["", "{", "[]", "null", "{}{}"] {
        assert!(Router::from_json(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Router::from_json(format!("{}x", minimal()).as_bytes()).is_err());
}

#[test]
fn a_repeated_key_is_rejected_at_any_depth() {
    for (fields, expected) in [
        (r#""id": "a", "action": "proxy", "id": "b""#, "ruleset.rules[0]: duplicate key `id`"),
        (
            r#""match": [{"type": "path", "regexValue": "/a", "regexValue": "/b"}]"#,
            "ruleset.rules[0].match[0]: duplicate key `regexValue`",
        ),
    ] {
        let rules = format!(r#"{{"rules": [{{{fields}}}]}}"#);
        let config = minimal().to_string();
        let ruleset = minimal()["ruleset"].to_string();
        let error = Router::from_json(config.replace(&ruleset, &rules).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
