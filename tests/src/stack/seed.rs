//! Groups and logins of a stack, made by the origin's own commands.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use origin::db::groups::Role;

use super::{Group, Ports, config};
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
    /// What the member may do.
    pub role: Role,
    /// Whether anybody may pull from its part of the container registry.
    pub public: bool,
}

/// Two companies in two cells; `tim` sees the team's group and not the company's, and everybody
/// sees the images of `acme/oss`.
pub const GROUPS: [Seed; 4] = [
    Seed { path: "acme", cell: 1, username: "alice", role: Role::Maintainer, public: false },
    Seed { path: "globex", cell: 2, username: "hank", role: Role::Maintainer, public: false },
    Seed { path: "acme/team", cell: 1, username: "tim", role: Role::Developer, public: false },
    Seed { path: "acme/oss", cell: 1, username: "olga", role: Role::Developer, public: true },
];

/// What is there stays; each start makes new tokens, as old ones are known by their hash only.
pub(super) fn seed(folder: &Path, ports: &Ports) -> Result<Vec<Group>> {
    GROUPS.iter().map(|seed| make(seed, folder, ports)).collect()
}

fn make(seed: &Seed, folder: &Path, ports: &Ports) -> Result<Group> {
    let Seed { path, cell, username, role, public } = *seed;
    let origin = |arguments: &[&str]| run(folder, cell, arguments);
    let visibility: &[&str] = if public { &["--public"] } else { &[] };
    origin(&[&["create-group", path], visibility].concat())?;
    origin(&["create-user", username])?;
    origin(&["add-member", path, username, "--role", role.as_str()])?;
    let token = origin(&["create-token", username, "--name", "demo"])?;
    Ok(Group {
        path: path.to_owned(),
        cell: format!("cell-{cell}"),
        username: username.to_owned(),
        password: token.trim().to_owned(),
        image_prefix: format!("127.0.0.1:{}/{path}/dependency_proxy/containers", ports.edge),
        registry_prefix: format!("127.0.0.1:{}/{path}", ports.registry_edge),
    })
}

/// Runs a command of a cell's origin and gives what it printed.
pub(super) fn run(folder: &Path, cell: usize, arguments: &[&str]) -> Result<String> {
    let config = config::origin_file(folder, &format!("origin-{cell}"));
    let mut command = Command::new(program::own("origin")?);
    let output = command.arg("--config").arg(config).args(arguments).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "origin {} failed: {complaint}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
