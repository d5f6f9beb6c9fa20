//! podman and buildah, which share their formats of logins and images.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use oci::Digest;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Client, ClientRun, command, run, succeed};
use crate::client::Login;

/// How the command lines of the two differ.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    /// The arguments before the command.
    global: &'static [&'static str],
    /// The command that succeeds for a stored image.
    inspect: &'static [&'static str],
}

const PODMAN: Tool = Tool {
    program: "podman",
    global: &["--cgroup-manager=cgroupfs", "--events-backend=none"],
    inspect: &["image", "inspect"],
};

const BUILDAH: Tool =
    Tool { program: "buildah", global: &[], inspect: &["inspect", "--type=image"] };

/// One of the two.
#[derive(Debug)]
pub struct Podman {
    tool: Tool,
    folder: TempDir,
}

impl Podman {
    /// Creates a podman without logins and images.
    ///
    /// # Errors
    /// Its folder cannot be created.
    pub fn new() -> Result<Self> {
        Self::of(PODMAN)
    }

    /// Creates a buildah without logins and images.
    ///
    /// # Errors
    /// Its folder cannot be created.
    pub fn buildah() -> Result<Self> {
        Self::of(BUILDAH)
    }

    fn of(tool: Tool) -> Result<Self> {
        let new = Self { tool, folder: TempDir::new()? };
        fs::write(new.below("registries.conf"), "")?;
        Ok(new)
    }

    /// Logs in at a host or a path below it, such as `HOST/acme`.
    ///
    /// # Errors
    /// The client is not installed, or times out.
    pub async fn log_in(&self, registry: &str, login: &Login) -> Result<ClientRun> {
        let Login { username, password } = login;
        self.run(&["login"], &["--username", username, "--password", password, registry]).await
    }

    /// Pulls the images of a registry from a mirror first, as `registries.conf` configures it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mirror(&self, registry: &str, mirror: &str) -> Result<()> {
        let text = format!(
            "[[registry]]\nlocation = \"{registry}\"\n\
             [[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n"
        );
        Ok(fs::write(self.below("registries.conf"), text)?)
    }

    /// Builds an image from a Containerfile, and tags it.
    ///
    /// # Errors
    /// The client is not installed, or times out.
    pub async fn build(&self, containerfile: &str, tag: &str) -> Result<ClientRun> {
        let context = self.below("context");
        fs::create_dir_all(&context)?;
        fs::write(context.join("Containerfile"), containerfile)?;
        let context = context.display().to_string();
        self.run(&["build", "--isolation=chroot"], &["--tag", tag, &context]).await
    }

    /// Whether an image of this name is stored.
    ///
    /// # Errors
    /// The client is not installed, or times out.
    pub async fn has_named(&self, image: &str) -> Result<bool> {
        let mut command = self.command()?;
        command.args(self.tool.inspect).arg(image);
        Ok(run(command).await?.success)
    }

    /// Runs a command that connects to a registry.
    async fn run(&self, verb: &[&str], arguments: &[&str]) -> Result<ClientRun> {
        let mut command = self.command()?;
        command.args(verb).arg("--tls-verify=false");
        command.arg("--authfile").arg(self.below("auth.json")).args(arguments);
        run(command).await
    }

    fn command(&self) -> Result<Command> {
        let mut command = command(self.tool.program)?;
        command.env("CONTAINERS_REGISTRIES_CONF", self.below("registries.conf"));
        command.arg("--root").arg(self.below("root")).arg("--runroot").arg(self.below("run"));
        // The one storage driver that needs no support by the kernel.
        command.arg("--storage-driver=vfs").args(self.tool.global);
        if self.tool.program == PODMAN.program {
            command.arg("--tmpdir").arg(self.below("tmp"));
        }
        Ok(command)
    }

    fn below(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Client for Podman {
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<ClientRun> {
        let platform = platform.into_iter().flat_map(|name| ["--platform", name]);
        let arguments: Vec<_> = platform.chain([image]).collect();
        self.run(&["pull"], &arguments).await
    }

    /// The id of an image is the digest of its configuration.
    async fn has(&self, configuration: &Digest) -> Result<bool> {
        self.has_named(configuration.hex()).await
    }

    async fn remove(&self, image: &str) -> Result<()> {
        let mut command = self.command()?;
        command.args(["rmi", "--force", image]);
        succeed(command).await.map(drop)
    }
}
