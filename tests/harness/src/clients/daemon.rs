//! Daemons meant to run once per system, isolated from the system.

use std::path::Path;

use anyhow::{Result, bail};
use tokio::process::Command;

use super::run;
use crate::process::Process;
use crate::{program, wait};

/// Gives the daemon its own mounts, which end with it: no other process sees them, and it neither
/// reads nor writes the machine's files in these folders.
const ISOLATE: &str = r#"mount -t tmpfs tmpfs /run && { [ ! -d /etc/docker ] || mount -t tmpfs tmpfs /etc/docker; } && exec "$@""#;

/// Starts a daemon with these `NAME=VALUE` in its environment. The daemon needs root, and so does
/// this.
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
    let isolate = ["--mount", "--", "sh", "-c", ISOLATE, "sh", "env"];
    let all = [&isolate, variables, &[&daemon], arguments].concat();
    Process::start(name, &program::system("unshare")?, &all, folder)
}

/// Waits until a command of the daemon's client succeeds.
///
/// # Errors
/// The daemon ends first, or a minute passes; the error holds its last lines.
pub(super) async fn wait_until_ready(
    daemon: &mut Process,
    command: impl Fn() -> Result<Command>,
) -> Result<()> {
    let name = daemon.name().to_owned();
    let ready = wait::until(&name, async || match daemon.exit_status() {
        Ok(None) => run(command().ok()?).await.ok()?.success.then_some(true),
        _ => Some(false),
    });
    if matches!(ready.await, Ok(true)) {
        return Ok(());
    }
    bail!("{name} does not start:\n{}", daemon.last_lines())
}
