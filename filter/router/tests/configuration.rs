//! The filter's example configuration, which documents every key.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panic")]

use router::Router;
use router::config::{self, FilterConfig};
use serde_json::Value;

const EXAMPLE: &str = include_str!("../../../envoy/filter.example.json");

fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

#[test]
fn the_example_is_valid() {
    Router::from_json(EXAMPLE.as_bytes()).unwrap();
}

#[test]
fn the_example_shows_the_defaults() {
    let mut least = example();
    for optional in ["cache", "maxNamespaces", "responseHeaders"] {
        assert!(least.as_object_mut().unwrap().remove(optional).is_some(), "{optional}");
    }
    let topology = least["topologyService"].as_object_mut().unwrap();
    for optional in ["timeoutMs", "retries", "backoffMs", "budgetMs", "registryDesign"] {
        assert!(topology.remove(optional).is_some(), "{optional}");
    }
    let read =
        |json: &str| format!("{:?}", config::from_json::<FilterConfig>(json.as_bytes()).unwrap());
    assert_eq!(read(&least.to_string()), read(EXAMPLE));
}

#[test]
fn every_key_is_in_the_readme() {
    let readme = include_str!("../../README.md");
    for (key, value) in example().as_object().unwrap() {
        let inner = value.as_object().filter(|_| key != "ruleset").into_iter().flatten();
        let names = inner.map(|(name, _)| format!("`{key}.{name}`"));
        let names: Vec<_> = names.collect();
        let expected = if names.is_empty() { vec![format!("`{key}`")] } else { names };
        for name in expected {
            assert!(readme.contains(&name), "{name} is not documented");
        }
    }
}
