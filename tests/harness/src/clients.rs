//! Real registry clients, each with its own storage for logins and images.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use oci::Digest;
use tokio::process::Command;
use tokio::time::timeout;

use crate::program;

pub mod containerd;
mod daemon;
pub mod docker;
pub mod podman;
pub mod skopeo;

/// How long a client may take for a small image from this machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A finished run of a client.
#[derive(Debug)]
pub struct ClientRun {
    /// Whether it succeeded.
    pub success: bool,
    /// Its output.
    pub output: String,
}

/// A client that stores the images it pulls.
#[expect(async_fn_in_trait, reason = "no caller needs the future to be Send")]
pub trait Client {
    /// Pulls an image by tag or digest, for a platform such as `linux/arm64` or for the machine's
    /// own.
    ///
    /// # Errors
    /// The client is not installed, or times out.
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<ClientRun>;

    /// Whether it has stored the image with this configuration.
    ///
    /// # Errors
    /// The client is not installed, or times out.
    async fn has(&self, configuration: &Digest) -> Result<bool>;

    /// Removes an image with its layers, so that the next pull downloads them.
    ///
    /// # Errors
    /// The client fails.
    async fn remove(&self, image: &str) -> Result<()>;
}

/// A command of an installed program, without the developer's own logins and configuration.
fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(program::system(program)?);
    for name in
        ["REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "DOCKER_HOST", "DOCKER_CONTEXT"]
    {
        command.env_remove(name);
    }
    Ok(command)
}

/// Runs a command to its end.
async fn run(mut command: Command) -> Result<ClientRun> {
    let run = timeout(TIMEOUT, command.kill_on_drop(true).output()).await;
    let run = run.with_context(|| format!("{:?} timed out", command.as_std().get_program()))??;
    let output = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    Ok(ClientRun { success: run.status.success(), output })
}

/// Runs a command that must succeed, and returns its output.
async fn succeed(command: Command) -> Result<String> {
    let run = run(command).await?;
    ensure!(run.success, "{}", run.output);
    Ok(run.output)
}
