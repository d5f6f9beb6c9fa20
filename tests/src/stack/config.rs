//! The configuration files of a stack, written into its folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{GROUPS, Ports, Settings};
use crate::program;

/// Where the configuration of a cell's origin lies.
pub(super) fn origin_file(folder: &Path, cell: usize) -> PathBuf {
    folder.join(format!("origin-{cell}.toml"))
}

pub(super) fn write(settings: &Settings, folder: &Path) -> Result<()> {
    let ports = &settings.ports;
    fs::write(folder.join("topology.toml"), topology())?;
    for (cell, port) in (1..).zip(ports.origins) {
        let text = origin(settings, folder, cell, port)?;
        fs::write(origin_file(folder, cell), text)?;
    }
    let filter = filter_configuration()?;
    for name in ["clusters.yaml", "filter.yaml", "envoy.yaml"] {
        let path = program::workspace().join("envoy/demo").join(name);
        let template = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        move_into_place(&folder.join(name), &fill_in(&template, ports, folder, &filter)?)?;
    }
    Ok(())
}

/// Envoy watches the folder for files that are moved into it, not for writes.
fn move_into_place(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, text)?;
    Ok(fs::rename(&aside, path)?)
}

fn fill_in(template: &str, ports: &Ports, folder: &Path, filter: &str) -> Result<String> {
    let [first, second] = ports.origins;
    let values = [
        ("${ADMIN_PORT}", ports.admin.to_string()),
        ("${EDGE_PORT}", ports.edge.to_string()),
        ("${TOPOLOGY_PORT}", ports.topology.to_string()),
        ("${CELL_1_PORT}", first.to_string()),
        ("${CELL_2_PORT}", second.to_string()),
        ("${DIR}", folder.display().to_string()),
        ("${FILTER_WASM}", program::filter_wasm()?.display().to_string()),
        ("${FILTER_CONFIGURATION}", filter.to_owned()),
    ];
    let filled = values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.lines().map(|line| substitute(line, name, value) + "\n").collect()
    });
    Ok(filled)
}

/// A value of several lines keeps the indentation of the line it stands in, as YAML wants it.
fn substitute(line: &str, name: &str, value: &str) -> String {
    if line.trim_start().starts_with('#') || !line.contains(name) {
        return line.to_owned();
    }
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    line.replace(name, &value.replace('\n', &format!("\n{indent}")))
}

fn filter_configuration() -> Result<String> {
    let path = program::workspace().join("rulesets/dependency_proxy.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let ruleset: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let configuration = json!({
        "topologyService": {"cluster": "topology", "authority": "topology", "timeoutMs": 1000},
        "responseHeaders": true,
        "ruleset": ruleset,
    });
    Ok(serde_json::to_string_pretty(&configuration)?)
}

fn topology() -> String {
    let cells = (1..=2).map(|cell| {
        format!(
            "[[cells]]\nid = {cell}\naddress = \"cell-{cell}\"\nsession_prefix = \"cell-{cell}\"\n\
             [[cells.sequence_ranges]]\nminval = {cell}000000000000\nmaxval = {cell}999999999999\n\n"
        )
    });
    let top_level = GROUPS.iter().filter(|group| !group.path.contains('/'));
    let claims = top_level
        .map(|group| format!("[[claims]]\ncell = {}\nroute = \"{}\"\n\n", group.cell, group.path));
    format!("env = \"demo\"\n\n{}", cells.chain(claims).collect::<String>())
}

fn origin(settings: &Settings, folder: &Path, cell: usize, port: u16) -> Result<String> {
    let home = folder.join(format!("cell-{cell}"));
    fs::create_dir_all(&home)?;
    let home = home.display();
    let edge = settings.ports.edge;
    let upstream = match &settings.upstream {
        Some(url) => upstream(url).context("the upstream's URL")?,
        None => String::new(),
    };
    Ok(format!(
        "[cell]\nid = {cell}\n\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\nexternal_url = \"http://127.0.0.1:{edge}\"\n\n\
         [database]\nurl = \"sqlite:{home}/origin.db\"\n\n\
         [store]\nurl = \"file://{home}/objects\"\nspool = \"{home}/spool\"\n\n\
         [auth]\nsigning_key = \"{home}/signing-key.pem\"\n\n{upstream}"
    ))
}

/// A user name and a password may stand in the URL, as people write it.
fn upstream(url: &str) -> Result<String> {
    let mut url: reqwest::Url = url.parse()?;
    let (username, password) = (url.username().to_owned(), url.password().map(str::to_owned));
    let mut section = String::new();
    if let Some(password) = password {
        section = format!("username = {}\npassword = {}\n", json!(username), json!(password));
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        anyhow::bail!("it names no host");
    }
    Ok(format!(
        "[upstream]\nurl = {}\nshort_names = \"library-first\"\n{section}",
        json!(url.as_str())
    ))
}
