//! Groups and logins of a stack, made by the origin's own commands.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Group, config};
use crate::program;

/// A group that every stack has.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// The group's full path.
    pub path: &'static str,
    /// The number of its cell.
    pub cell: usize,
    /// Its one member.
    pub username: &'static str,
}

/// Two companies in two cells; `tim` sees the team's group and not the company's.
pub const GROUPS: [Seed; 3] = [
    Seed { path: "acme", cell: 1, username: "alice" },
    Seed { path: "globex", cell: 2, username: "hank" },
    Seed { path: "acme/team", cell: 1, username: "tim" },
];

/// What is there stays; each start makes new tokens, as old ones are known by their hash only.
pub(super) fn seed(folder: &Path, edge: u16) -> Result<Vec<Group>> {
    GROUPS.iter().map(|seed| make(seed, folder, edge)).collect()
}

fn make(seed: &Seed, folder: &Path, edge: u16) -> Result<Group> {
    let Seed { path, cell, username } = *seed;
    let origin = |arguments: &[&str]| run(folder, cell, arguments);
    origin(&["create-group", path])?;
    origin(&["create-user", username])?;
    origin(&["add-member", path, username])?;
    let token = origin(&["create-token", username, "--name", "demo"])?;
    Ok(Group {
        path: path.to_owned(),
        cell: format!("cell-{cell}"),
        username: username.to_owned(),
        password: token.trim().to_owned(),
        image_prefix: format!("127.0.0.1:{edge}/{path}/dependency_proxy/containers"),
    })
}

fn run(folder: &Path, cell: usize, arguments: &[&str]) -> Result<String> {
    let config = config::origin_file(folder, cell);
    let mut command = Command::new(program::own("origin")?);
    let output = command.arg("--config").arg(config).args(arguments).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "origin {} failed: {complaint}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
