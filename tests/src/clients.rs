//! Real clients of registries, each with a place of its own for logins and images.

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
const PATIENCE: Duration = Duration::from_secs(120);

/// How a run of a client ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it succeeded.
    pub success: bool,
    /// All it printed.
    pub output: String,
}

/// A client that keeps what it pulled.
#[expect(async_fn_in_trait, reason = "no caller needs the future to be Send")]
pub trait Client {
    /// Pulls an image by tag or digest: for this platform, as `linux/arm64`, or the machine's own.
    ///
    /// # Errors
    /// The client is not installed, or does not end.
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<Outcome>;

    /// Whether it has the image with this configuration.
    ///
    /// # Errors
    /// The client is not installed, or does not end.
    async fn has(&self, configuration: &Digest) -> Result<bool>;

    /// Removes a pulled image and all its bytes, so that the next pull brings them anew.
    ///
    /// # Errors
    /// The client cannot.
    async fn forget(&self, image: &str) -> Result<()>;
}

/// A program of the system's, for which a developer's own logins and configuration decide nothing.
fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(program::system(program)?);
    for name in
        ["REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "DOCKER_HOST", "DOCKER_CONTEXT"]
    {
        command.env_remove(name);
    }
    Ok(command)
}

/// Runs it to its end.
async fn run(mut command: Command) -> Result<Outcome> {
    let run = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let run =
        run.with_context(|| format!("{:?} does not end", command.as_std().get_program()))??;
    let output = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    Ok(Outcome { success: run.status.success(), output })
}

/// Runs what must succeed, and gives what it printed.
async fn succeed(command: Command) -> Result<String> {
    let outcome = run(command).await?;
    ensure!(outcome.success, "{}", outcome.output);
    Ok(outcome.output)
}
