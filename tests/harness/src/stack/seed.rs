//! The groups and logins of a stack, created by the origin's own commands.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Group, Ports, config};
use crate::program;

/// A group of every stack.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// The group's full path.
    pub path: &'static str,
    /// The number of its Cell.
    pub cell: usize,
    /// The name of its only member.
    pub username: &'static str,
    /// The member's role, as `origin add-member --role` takes it.
    pub role: &'static str,
    /// Whether its images in the container registry are public.
    pub public: bool,
}

/// Two companies in two Cells. `tim` can access the team's group and not the company's, and the
/// images of `acme/oss` are public.
pub const GROUPS: [Seed; 4] = [
    Seed { path: "acme", cell: 1, username: "alice", role: "maintainer", public: false },
    Seed { path: "globex", cell: 2, username: "hank", role: "maintainer", public: false },
    Seed { path: "acme/team", cell: 1, username: "tim", role: "developer", public: false },
    Seed { path: "acme/oss", cell: 1, username: "olga", role: "developer", public: true },
];

/// Creates the groups and users that are missing. Each start creates new tokens, because the origin
/// stores only the hashes of earlier ones.
pub(super) fn seed(folder: &Path, ports: &Ports) -> Result<Vec<Group>> {
    GROUPS.iter().map(|seed| create(seed, folder, ports)).collect()
}

fn create(seed: &Seed, folder: &Path, ports: &Ports) -> Result<Group> {
    let Seed { path, cell, username, role, public } = *seed;
    let origin = |arguments: &[&str]| run(folder, cell, arguments);
    let visibility: &[&str] = if public { &["--public"] } else { &[] };
    origin(&[&["create-group", path], visibility].concat())?;
    origin(&["create-user", username])?;
    origin(&["add-member", path, username, "--role", role])?;
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

/// Runs a command of a Cell's origin, and returns its output.
pub(super) fn run(folder: &Path, cell: usize, arguments: &[&str]) -> Result<String> {
    let config = config::origin_file(folder, &format!("origin-{cell}"));
    let mut command = Command::new(program::own("origin")?);
    let output = command.arg("--config").arg(config).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "origin {} failed: {errors}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
