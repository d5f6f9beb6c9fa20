//! The examples for Kubernetes: the filter accepts their configuration, and Envoy the resources
//! rendered from them.

use std::fs;

use harness::production;
use router::Router;
use serde_json::{Value, json};

const EXAMPLES: [&str; 2] = ["envoy-gateway.yaml", "istio.yaml"];

fn documents(example: &str) -> Vec<Value> {
    let text = production::shipped(&format!("kubernetes/{example}")).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind(documents: &[Value], kind: &str) -> Value {
    documents.iter().find(|document| document["kind"] == kind).cloned().unwrap_or_default()
}

fn all(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

#[test]
fn every_document_is_a_named_object() {
    for example in EXAMPLES {
        for document in documents(example) {
            for field in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
                assert!(
                    document.pointer(field).is_some_and(Value::is_string),
                    "{example}: {document}"
                );
            }
        }
    }
}

#[test]
fn the_filter_accepts_its_configuration() {
    let [gateway, istio] = EXAMPLES.map(documents);
    let policy = of_kind(&gateway, "EnvoyExtensionPolicy");
    let plugin = of_kind(&istio, "WasmPlugin");
    for configuration in [&policy["spec"]["wasm"][0]["config"], &plugin["spec"]["pluginConfig"]] {
        let router = Router::from_json(configuration.to_string().as_bytes()).unwrap();
        assert_eq!(router.ruleset().ids().collect::<Vec<_>>(), ["dependency_proxy", "first_cell"]);
    }
    assert_eq!(policy["spec"]["wasm"][0]["failOpen"], false);
    assert_eq!(plugin["spec"]["failStrategy"], "FAIL_RELOAD");
}

/// The texts at a path in each value that has one.
fn texts<'v>(values: &'v [Value], place: &str) -> Vec<&'v str> {
    values.iter().filter_map(|value| value.pointer(place)?.as_str()).collect()
}

#[test]
fn forgeable_headers_are_removed_as_in_production() {
    let text = production::shipped("envoy.yaml").unwrap();
    let production: Value = serde_saphyr::from_str(&text).unwrap();
    const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    const MUTATIONS: &str = "/early_header_mutation_extensions/0/typed_config/mutations";
    let removed = all(production.pointer(&format!("{MANAGER}{MUTATIONS}")).unwrap());
    let prefixes = texts(&removed, "/remove_on_match/key_matcher/prefix");
    let names = texts(&removed, "/remove");
    assert!(!prefixes.is_empty() && !names.is_empty());

    let istio = of_kind(&documents("istio.yaml"), "EnvoyFilter");
    let manager = &istio["spec"]["configPatches"][0]["patch"]["value"]["typed_config"];
    assert_eq!(all(manager.pointer(MUTATIONS).unwrap()), removed);

    let gateway = of_kind(&documents("envoy-gateway.yaml"), "ClientTrafficPolicy");
    let gateway = all(&gateway["spec"]["headers"]["earlyRequestHeaders"]["remove"]);
    let gateway = texts(&gateway, "");
    assert!(names.iter().all(|name| gateway.contains(name)), "{gateway:?}");
    for prefix in prefixes {
        assert!(gateway.iter().any(|name| name.starts_with(prefix)), "{prefix}: {gateway:?}");
    }
}

#[test]
fn envoy_accepts_the_resources_of_envoy_gateway() {
    let patches =
        all(&of_kind(&documents("envoy-gateway.yaml"), "EnvoyPatchPolicy")["spec"]["jsonPatches"]);
    let of = |kind: &str| -> Vec<_> {
        let patches =
            patches.iter().filter(|patch| patch["type"].as_str().unwrap().ends_with(kind));
        patches.map(|patch| patch["operation"]["value"].clone()).collect()
    };
    assert_accepted(&json!({}), &of(".RouteConfiguration"), &of(".Cluster"));
}

#[test]
fn envoy_accepts_the_resources_of_istio() {
    let patches = all(&of_kind(&documents("istio.yaml"), "EnvoyFilter")["spec"]["configPatches"]);
    let of = |kind: &str| -> Vec<_> {
        let patches = patches.iter().filter(|patch| patch["applyTo"] == kind);
        patches.map(|patch| patch["patch"]["value"].clone()).collect()
    };
    let [manager] = &of("NETWORK_FILTER")[..] else { panic!("one connection manager") };
    assert_accepted(&manager["typed_config"], &of("HTTP_ROUTE"), &of("CLUSTER"));
}

/// Validates the resources in a minimal bootstrap.
fn assert_accepted(manager: &Value, routes: &[Value], clusters: &[Value]) {
    assert_eq!((routes.len(), clusters.len()), (1, 2));
    let filters = "type.googleapis.com/envoy.extensions.filters";
    let mut config = json!({
        "@type": format!("{filters}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "edge",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{filters}.http.router.v3.Router")},
        }],
        "route_config": {"virtual_hosts": [{"name": "web", "domains": ["*"], "routes": routes}]},
    });
    let fields = config.as_object_mut().unwrap();
    fields.extend(manager.as_object().cloned().unwrap_or_default());
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": config,
    });
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 8443}});
    let bootstrap = json!({"static_resources": {
        "listeners": [{"name": "edge", "address": address, "filter_chains": [{"filters": [manager]}]}],
        "clusters": clusters,
    }});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.json");
    fs::write(&file, bootstrap.to_string()).unwrap();
    let said = production::check(&file).unwrap();
    assert!(said.contains("' OK"), "{said}");
}
