//! Daemons that want to be the system's own, kept from it.

use std::path::Path;

use anyhow::{Result, bail};
use tokio::process::Command;

use super::run;
use crate::process::Process;
use crate::{program, wait};

/// Mounts of its own, which go when it goes: what it mounts nobody else sees, and what it would
/// read or leave in these folders is not the machine's.
const APART: &str = r#"mount -t tmpfs tmpfs /run && { [ ! -d /etc/docker ] || mount -t tmpfs tmpfs /etc/docker; } && exec "$@""#;

/// Starts a daemon with these `NAME=VALUE` in its environment; needs root, as the daemon does.
///
/// # Errors
/// It is not installed, or cannot be started.
pub(super) fn start(
    name: &str,
    arguments: &[&str],
    variables: &[&str],
    folder: &Path,
) -> Result<Process> {
    let daemon = program::system(name)?.display().to_string();
    let apart = ["--mount", "--", "sh", "-c", APART, "sh", "env"];
    let all = [&apart, variables, &[&daemon], arguments].concat();
    Process::start(name, &program::system("unshare")?, &all, folder)
}

/// Waits until its own client hears from it.
///
/// # Errors
/// It ends first, or a minute passes; its last lines are told.
pub(super) async fn answers(daemon: &mut Process, ask: impl Fn() -> Result<Command>) -> Result<()> {
    let name = daemon.name().to_owned();
    let answered = wait::until(&name, async || match daemon.ended() {
        Ok(None) => run(ask().ok()?).await.ok()?.success.then_some(true),
        _ => Some(false),
    });
    if matches!(answered.await, Ok(true)) {
        return Ok(());
    }
    bail!("{name} does not come up:\n{}", daemon.last_lines())
}
