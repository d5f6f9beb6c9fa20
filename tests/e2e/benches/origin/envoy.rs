//! One Envoy with a listener for each server; the listeners differ only in their upstream.

use std::fs;

use anyhow::Result;
use harness::process::{Process, free_port};
use harness::program;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::Site;
use harness::envoy::{address, cluster};

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    /// The same sites behind this Envoy.
    pub(crate) sites: Vec<Site>,
    _process: Process,
    _folder: TempDir,
}

impl Envoy {
    pub(crate) async fn before(sites: &[(&'static str, &Site)]) -> Result<Self> {
        let (folder, admin) = (TempDir::new()?, free_port()?);
        let (mut listeners, mut clusters, mut ways) = (Vec::new(), Vec::new(), Vec::new());
        for (name, site) in sites {
            let port = free_port()?;
            listeners.push(listener(name, port));
            clusters.push(cluster(name, site.port()));
            ways.push(site.behind(name, port));
        }
        let configuration = json!({
            "admin": {"address": address(admin)},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        let file = folder.path().join("envoy.json");
        fs::write(&file, configuration.to_string())?;
        let file = file.display().to_string();
        let arguments = ["--config-path", &file, "--disable-hot-restart", "--log-level", "error"];
        let mut process = Process::start("envoy", &program::envoy()?, &arguments, folder.path())?;
        process.wait_until_ready(&format!("http://127.0.0.1:{admin}/ready")).await?;
        Ok(Self { sites: ways, _process: process, _folder: folder })
    }
}

/// The settings of the demo's listener that affect the cost, without a filter and an access log.
fn listener(name: &str, port: u16) -> Value {
    let router = extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({}),
    );
    let manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "bench",
            "use_remote_address": true,
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "http_filters": [router],
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}],
            }]},
        }),
    );
    json!({
        "name": name,
        "address": address(port),
        "filter_chains": [{"filters": [manager]}],
    })
}

fn extension(name: &str, kind: &str, mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("@type".to_owned(), format!("type.googleapis.com/{kind}").into());
    }
    json!({"name": name, "typed_config": body})
}
