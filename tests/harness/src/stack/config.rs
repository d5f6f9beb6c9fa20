//! The configuration files of a stack.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::settings::Origin;
use super::{GROUPS, Settings, edge};
use crate::origin_config::OriginConfig;

/// The path of an origin's configuration.
pub(super) fn origin_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

pub(super) fn write(settings: &Settings, folder: &Path) -> Result<()> {
    fs::write(folder.join("topology.toml"), topology())?;
    for described in settings.origins() {
        origin(settings, folder, &described)?.write(&origin_file(folder, &described.name))?;
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

fn origin(settings: &Settings, folder: &Path, origin: &Origin) -> Result<OriginConfig> {
    let Origin { cell, name, port } = origin;
    let home = folder.join(format!("cell-{cell}"));
    fs::create_dir_all(&home)?;
    let mut config = OriginConfig::new(&home, *port)
        .set("cell", "id", i64::try_from(*cell)?)
        .set("http", "external_url", format!("http://127.0.0.1:{}", settings.ports.edge))
        .set("store", "spool", format!("{}/spool-of-{name}", home.display()))
        .set("auth", "signing_key", format!("{}/signing-key.pem", home.display()));
    if let Some(fleet) = settings.fleet.as_ref().filter(|_| *cell == 1) {
        config = config.set("database", "url", fleet.database.as_str());
        config = config.merge("store", &fleet.store)?;
    }
    match &settings.upstream {
        Some(url) => upstream(config, url).context("the upstream's URL"),
        None => Ok(config),
    }
}

/// Configures the upstream as Docker Hub. The URL may hold a user name and a password.
fn upstream(mut config: OriginConfig, url: &str) -> Result<OriginConfig> {
    let mut url: reqwest::Url = url.parse()?;
    if let Some(password) = url.password() {
        config = config.set("upstream", "username", url.username());
        config = config.set("upstream", "password", password);
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        anyhow::bail!("the URL has no host");
    }
    Ok(config.set("upstream", "name", "docker.io").set("upstream", "url", url.as_str()).set(
        "upstream",
        "short_names",
        "library-first",
    ))
}
