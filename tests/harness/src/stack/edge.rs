//! Envoy's configuration files, rendered from the templates of `envoy/demo`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use router::install::{move_into_place, substitute};
use serde_json::json;

use super::{Ports, Settings};
use crate::{program, rulesets};

/// A `${NAME}` of a template and its value.
type Variable = (&'static str, String);

/// A host of the edge.
struct Host {
    name: &'static str,
    port: u16,
    /// The name of its ruleset in `rulesets/`.
    ruleset: &'static str,
    /// The name of its filter, and the file that Envoy watches for it.
    filter: &'static str,
    filter_file: &'static str,
}

fn hosts(ports: &Ports) -> [Host; 2] {
    [
        Host {
            name: "web",
            port: ports.edge,
            ruleset: "dependency_proxy",
            filter: "cell-router",
            filter_file: "filter.yaml",
        },
        Host {
            name: "registry",
            port: ports.registry_edge,
            ruleset: "container_registry",
            filter: "registry-router",
            filter_file: "filter-registry.yaml",
        },
    ]
}

pub(super) fn write(settings: &Settings, folder: &Path) -> Result<()> {
    let common = common(settings, folder)?;
    let mut listeners = String::new();
    for host in hosts(&settings.ports) {
        let own = own(&host, settings)?;
        listeners += &from_template("listener.yaml", &own)?;
        let filter = from_template("filter.yaml", &[&common[..], &own].concat())?;
        move_into_place(&folder.join(host.filter_file), &filter)?;
    }
    move_into_place(&folder.join("clusters.yaml"), &from_template("clusters.yaml", &common)?)?;
    let all = [vec![("${LISTENERS}", listeners.trim_end().to_owned())], common].concat();
    Ok(move_into_place(&folder.join("envoy.yaml"), &from_template("envoy.yaml", &all)?)?)
}

fn common(settings: &Settings, folder: &Path) -> Result<Vec<Variable>> {
    let ports = &settings.ports;
    let topology = settings.topology();
    let [first_registry, second_registry] = ports.registries;
    Ok(vec![
        ("${ADMIN_PORT}", ports.admin.to_string()),
        ("${TOPOLOGY_HOST}", topology.host().to_owned()),
        ("${TOPOLOGY_PORT}", topology.port().to_string()),
        ("${CELL_1_ORIGINS}", endpoints(settings, 1)),
        ("${CELL_2_ORIGINS}", endpoints(settings, 2)),
        ("${REGISTRY_1_PORT}", first_registry.to_string()),
        ("${REGISTRY_2_PORT}", second_registry.to_string()),
        ("${DIR}", folder.display().to_string()),
        ("${FILTER_WASM}", program::filter_wasm()?.display().to_string()),
    ])
}

/// One line for each origin of a Cell.
fn endpoints(settings: &Settings, cell: usize) -> String {
    let of_cell = settings.origins().into_iter().filter(|origin| origin.cell == cell);
    let lines = of_cell.map(|origin| {
        let address = format!("{{ address: 127.0.0.1, port_value: {} }}", origin.port);
        format!("- endpoint: {{ address: {{ socket_address: {address} }} }}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn own(host: &Host, settings: &Settings) -> Result<Vec<Variable>> {
    Ok(vec![
        ("${HOST}", host.name.to_owned()),
        ("${HOST_PORT}", host.port.to_string()),
        ("${FILTER}", host.filter.to_owned()),
        ("${FILTER_FILE}", host.filter_file.to_owned()),
        ("${FILTER_CONFIGURATION}", filter_configuration(host.ruleset, settings)?),
    ])
}

fn filter_configuration(ruleset: &str, settings: &Settings) -> Result<String> {
    let configuration = json!({
        "topologyService": {
            "cluster": "topology",
            "authority": settings.topology().authority(),
            "timeoutMs": 1000,
            "registryDesign": settings.registry_design.as_str(),
        },
        "responseHeaders": true,
        "ruleset": rulesets::read(ruleset)?,
    });
    Ok(serde_json::to_string_pretty(&configuration)?)
}

fn from_template(name: &str, variables: &[Variable]) -> Result<String> {
    let path = program::workspace().join("envoy/demo").join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(variables.iter().fold(text, |text, (name, value)| {
        text.lines().map(|line| fill_in(line, name, value) + "\n").collect()
    }))
}

/// Replaces a variable in a line, unless the line is a comment, which explains the variable.
fn fill_in(line: &str, name: &str, value: &str) -> String {
    if line.trim_start().starts_with('#') { line.to_owned() } else { substitute(line, name, value) }
}
