//! An edge with an external Topology Service.

use std::process::Command;

use axum::routing::post;
use axum::{Json, Router};
use harness::stack::{RegistryDesign, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{Edge, image};

/// Starts a Topology Service that returns one Cell for everything, with its registry by this
/// design. Returns the root URL.
async fn everything_in_cell_2(design: RegistryDesign) -> String {
    let response = move |Json(request): Json<Value>| async move {
        let registry = request.get("target") == Some(&json!("REGISTRY"));
        let proxy = match design {
            RegistryDesign::Answer => {
                json!({"address": "cell-2", "registryAddress": "registry-cell-2"})
            }
            RegistryDesign::Request if registry => json!({"address": "registry-cell-2"}),
            RegistryDesign::Request => json!({"address": "cell-2"}),
        };
        Json(json!({"action": "PROXY", "proxy": proxy}))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Router::new().route("/v1/classify", post(response));
    tokio::spawn(async move { axum::serve(listener, service).await });
    url
}

#[tokio::test]
async fn an_external_topology_service_of_either_design_selects_the_registry() {
    for registry_design in [RegistryDesign::Answer, RegistryDesign::Request] {
        let url = everything_in_cell_2(registry_design).await;
        let other_topology = Some(url.parse().unwrap());
        let change = |settings| Settings { other_topology, registry_design, ..settings };
        let edge = Edge::with(change).await;
        let developer = edge.member(2, "acme", "developer");
        let image = image(1);
        edge.push_successfully(&image, "acme/app", &developer).await;
        assert!(edge.holds(2, "acme/app") && !edge.holds(1, "acme/app"), "{registry_design:?}");
        edge.pull_same(&image, "acme/app", Some(&developer), "pulled").await;
    }
}

#[test]
fn an_invalid_setting_is_reported_before_the_demo_starts_anything() {
    for (name, value) in [
        ("DEMO_TOPOLOGY", "127.0.0.1:7777"),
        ("DEMO_TOPOLOGY", "http://127.0.0.1:7777/v1"),
        ("DEMO_REGISTRY_DESIGN", "both"),
    ] {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        let mut demo = Command::new(harness::program::own("demo").unwrap());
        let output = demo.env("DEMO_DIR", &state).env(name, value).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}={value}");
        assert!(errors.contains(name) && errors.contains(value), "{errors}");
        assert!(!state.exists(), "nothing is started or written");
    }
}
