//! The configuration files of a stack, written into its folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::settings::Origin;
use super::{GROUPS, Settings, edge};

/// Where the configuration of an origin lies.
pub(super) fn origin_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

pub(super) fn write(settings: &Settings, folder: &Path) -> Result<()> {
    fs::write(folder.join("topology.toml"), topology())?;
    for described in settings.origins() {
        let text = origin(settings, folder, &described)?;
        fs::write(origin_file(folder, &described.name), text)?;
    }
    edge::write(settings, folder)
}

fn topology() -> String {
    let cells = (1..=2).map(|cell| {
        format!(
            "[[cells]]\nid = {cell}\naddress = \"cell-{cell}\"\nsession_prefix = \"cell-{cell}\"\n\
             registry_address = \"registry-cell-{cell}\"\n\
             [[cells.sequence_ranges]]\nminval = {cell}000000000000\nmaxval = {cell}999999999999\n\n"
        )
    });
    let top_level = GROUPS.iter().filter(|group| !group.path.contains('/'));
    let claims = top_level
        .map(|group| format!("[[claims]]\ncell = {}\nroute = \"{}\"\n\n", group.cell, group.path));
    format!("env = \"demo\"\n\n{}", cells.chain(claims).collect::<String>())
}

fn origin(settings: &Settings, folder: &Path, origin: &Origin) -> Result<String> {
    let Origin { cell, name, port } = origin;
    let home = folder.join(format!("cell-{cell}"));
    fs::create_dir_all(&home)?;
    let home = home.display();
    let edge = settings.ports.edge;
    let upstream = match &settings.upstream {
        Some(url) => upstream(url).context("the upstream's URL")?,
        None => String::new(),
    };
    let fleet = settings.fleet.as_ref().filter(|_| *cell == 1);
    let (database, store) = match fleet {
        Some(fleet) => (fleet.database.clone(), fleet.store.clone()),
        None => (format!("sqlite:{home}/origin.db"), format!("url = \"file://{home}/objects\"\n")),
    };
    Ok(format!(
        "[cell]\nid = {cell}\n\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\nexternal_url = \"http://127.0.0.1:{edge}\"\n\n\
         [database]\nurl = \"{database}\"\n\n\
         [store]\nspool = \"{home}/spool-of-{name}\"\n{store}\n\
         [auth]\nsigning_key = \"{home}/signing-key.pem\"\n\n{upstream}"
    ))
}

/// It stands for Docker Hub. A user name and a password may stand in the URL, as people write it.
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
        "[upstream]\nname = \"docker.io\"\nurl = {}\nshort_names = \"library-first\"\n{section}",
        json!(url.as_str())
    ))
}
