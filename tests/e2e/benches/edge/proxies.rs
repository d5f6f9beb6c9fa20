//! One Envoy with three listeners that differ only in their HTTP filter, an nginx behind them, and
//! a Topology Service for the filters.

use std::fs;
use std::path::Path;

use anyhow::Result;
use harness::process::{Process, free_port};
use harness::{program, rulesets};
use serde_json::{Value, json};
use tempfile::TempDir;

use harness::envoy::{address, cluster};

/// The proxy between client and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Envoy alone, with a fixed route.
    Plain,
    /// Envoy with the filter.
    Filter,
    /// Envoy with a Lua filter that routes the same way.
    Lua,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Filter, Self::Lua];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Filter => "filter",
            Self::Lua => "lua",
        }
    }
}

/// The running programs; they stop when this value is dropped.
#[derive(Debug)]
pub(crate) struct Proxies {
    envoy: Process,
    ports: [u16; 3],
    _others: [Process; 2],
    _folder: TempDir,
}

impl Proxies {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [admin, cell, topology] = [free_port()?, free_port()?, free_port()?];
        let ports = [free_port()?, free_port()?, free_port()?];
        let nginx = start_nginx(cell, folder.path()).await?;
        let service = start_topology(topology, folder.path()).await?;
        let file = folder.path().join("envoy.json");
        fs::write(&file, configuration(admin, &ports, cell, topology)?.to_string())?;
        let file = file.display().to_string();
        let arguments = ["--config-path", &file, "--disable-hot-restart", "--concurrency", "1"];
        let arguments = [&arguments[..], &["--log-level", "error"]].concat();
        let mut envoy = Process::start("envoy", &program::envoy()?, &arguments, folder.path())?;
        envoy.wait_until_ready(&format!("http://127.0.0.1:{admin}/ready")).await?;
        Ok(Self { envoy, ports, _others: [nginx, service], _folder: folder })
    }

    pub(crate) fn url(&self, way: Way) -> String {
        let ports = Way::ALL.iter().zip(self.ports);
        let port = ports.into_iter().find_map(|(each, port)| (*each == way).then_some(port));
        format!("http://127.0.0.1:{}", port.unwrap_or_default())
    }

    /// The CPU time that Envoy has used, in seconds.
    pub(crate) fn envoy_seconds(&self) -> Result<f64> {
        self.envoy.cpu_seconds()
    }
}

async fn start_nginx(port: u16, folder: &Path) -> Result<Process> {
    let file = folder.join("nginx.conf");
    let home = folder.display();
    fs::write(
        &file,
        format!(
            "daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.err;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000;\n\
             client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};\n\
             uwsgi_temp_path {home}; scgi_temp_path {home};\n\
             server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json;\n\
             return 200 '{}'; }} }} }}\n",
            "x".repeat(1024),
        ),
    )?;
    let file = file.display().to_string();
    let mut nginx = Process::start(
        "nginx",
        &program::system("nginx")?,
        &["-c", &file, "-e", "stderr"],
        folder,
    )?;
    nginx.wait_until_ready(&format!("http://127.0.0.1:{port}/")).await?;
    Ok(nginx)
}

async fn start_topology(port: u16, folder: &Path) -> Result<Process> {
    let file = folder.join("topology.toml");
    fs::write(
        &file,
        "env = \"bench\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\nsession_prefix = \"cell-1\"\n\
         [[cells.sequence_ranges]]\nminval = 1\nmaxval = 999\n\
         [[claims]]\ncell = 1\nroute = \"acme\"\n",
    )?;
    let (file, listen) = (file.display().to_string(), format!("127.0.0.1:{port}"));
    let arguments = ["serve", "--config", &file, "--listen", &listen];
    let mut service = Process::start("topology", &program::own("topology")?, &arguments, folder)?;
    service.wait_until_ready(&format!("http://{listen}/health/ready")).await?;
    Ok(service)
}

fn configuration(admin: u16, ports: &[u16; 3], cell: u16, topology: u16) -> Result<Value> {
    let mut listeners = Vec::new();
    for (way, port) in Way::ALL.iter().zip(ports) {
        listeners.push(listener(*way, *port)?);
    }
    Ok(json!({
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": listeners,
            "clusters": [cluster("cell-1", cell), cluster("topology", topology)],
        },
    }))
}

/// The settings of the demo's listener that affect the cost, without an access log.
fn listener(way: Way, port: u16) -> Result<Value> {
    let target = match way {
        Way::Plain => json!({"cluster": "cell-1", "timeout": "0s"}),
        Way::Filter | Way::Lua => json!({"cluster_header": "x-cell-cluster", "timeout": "0s"}),
    };
    let mut filters: Vec<_> = http_filter(way)?.into_iter().collect();
    filters.push(extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({}),
    ));
    let manager = json!({
        "stat_prefix": way.name(),
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{
            "name": "cells",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": target}],
        }]},
    });
    let manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    Ok(json!({
        "name": way.name(),
        "address": address(port),
        "filter_chains": [{"filters": [manager]}],
    }))
}

fn http_filter(way: Way) -> Result<Option<Value>> {
    Ok(match way {
        Way::Plain => None,
        Way::Filter => Some(extension(
            "cell-router",
            "envoy.extensions.filters.http.wasm.v3.Wasm",
            json!({"config": {
                "name": "cell-router",
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "cell-router",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": program::filter_wasm()?}},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": filter_configuration()?,
                },
            }}),
        )),
        Way::Lua => Some(extension(
            "lua",
            "envoy.extensions.filters.http.lua.v3.Lua",
            json!({"default_source_code": {"inline_string": include_str!("route.lua")}}),
        )),
    })
}

fn extension(name: &str, kind: &str, mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("@type".to_owned(), format!("type.googleapis.com/{kind}").into());
    }
    json!({"name": name, "typed_config": body})
}

fn filter_configuration() -> Result<String> {
    let ruleset = rulesets::read("dependency_proxy")?;
    let topology = json!({"cluster": "topology", "authority": "topology"});
    Ok(json!({"topologyService": topology, "ruleset": ruleset}).to_string())
}
