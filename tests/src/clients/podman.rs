//! podman and buildah, which keep logins and images alike.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use oci::Digest;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Client, Outcome, command, run, succeed};
use crate::client::Login;

/// What the two do not say alike.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    /// Before the command.
    global: &'static [&'static str],
    /// Succeeds for an image that is there.
    inspect: &'static [&'static str],
}

const PODMAN: Tool = Tool {
    program: "podman",
    global: &["--cgroup-manager=cgroupfs", "--events-backend=none"],
    inspect: &["image", "inspect"],
};

const BUILDAH: Tool =
    Tool { program: "buildah", global: &[], inspect: &["inspect", "--type=image"] };

/// One of them.
#[derive(Debug)]
pub struct Podman {
    tool: Tool,
    folder: TempDir,
}

impl Podman {
    /// podman, without logins and images.
    ///
    /// # Errors
    /// There is no place for its folder.
    pub fn new() -> Result<Self> {
        Self::of(PODMAN)
    }

    /// buildah, likewise.
    ///
    /// # Errors
    /// There is no place for its folder.
    pub fn buildah() -> Result<Self> {
        Self::of(BUILDAH)
    }

    fn of(tool: Tool) -> Result<Self> {
        let new = Self { tool, folder: TempDir::new()? };
        fs::write(new.below("registries.conf"), "")?;
        Ok(new)
    }

    /// Logs in at a host, or at a place below it: `HOST/acme`.
    ///
    /// # Errors
    /// It is not installed, or does not end.
    pub async fn log_in(&self, place: &str, login: &Login) -> Result<Outcome> {
        let Login { username, password } = login;
        self.ask(&["login"], &["--username", username, "--password", password, place]).await
    }

    /// Takes images of a registry from this place first, as `registries.conf` says it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mirror(&self, registry: &str, place: &str) -> Result<()> {
        let text = format!(
            "[[registry]]\nlocation = \"{registry}\"\n\
             [[registry.mirror]]\nlocation = \"{place}\"\ninsecure = true\n"
        );
        Ok(fs::write(self.below("registries.conf"), text)?)
    }

    /// Builds from this Containerfile; `tag` names what comes out.
    ///
    /// # Errors
    /// It is not installed, or does not end.
    pub async fn build(&self, containerfile: &str, tag: &str) -> Result<Outcome> {
        let context = self.below("context");
        fs::create_dir_all(&context)?;
        fs::write(context.join("Containerfile"), containerfile)?;
        let context = context.display().to_string();
        self.ask(&["build", "--isolation=chroot"], &["--tag", tag, &context]).await
    }

    /// Whether there is an image of this name.
    ///
    /// # Errors
    /// It is not installed, or does not end.
    pub async fn knows(&self, image: &str) -> Result<bool> {
        let mut command = self.command()?;
        command.args(self.tool.inspect).arg(image);
        Ok(run(command).await?.success)
    }

    /// Runs a command that talks to a registry.
    async fn ask(&self, verb: &[&str], arguments: &[&str]) -> Result<Outcome> {
        let mut command = self.command()?;
        command.args(verb).arg("--tls-verify=false");
        command.arg("--authfile").arg(self.below("auth.json")).args(arguments);
        run(command).await
    }

    fn command(&self) -> Result<Command> {
        let mut command = command(self.tool.program)?;
        command.env("CONTAINERS_REGISTRIES_CONF", self.below("registries.conf"));
        command.arg("--root").arg(self.below("root")).arg("--runroot").arg(self.below("run"));
        // Asks nothing of the kernel.
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
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<Outcome> {
        let platform = platform.into_iter().flat_map(|name| ["--platform", name]);
        let arguments: Vec<_> = platform.chain([image]).collect();
        self.ask(&["pull"], &arguments).await
    }

    /// An image's id is its configuration's digest.
    async fn has(&self, configuration: &Digest) -> Result<bool> {
        self.knows(configuration.hex()).await
    }

    async fn forget(&self, image: &str) -> Result<()> {
        let mut command = self.command()?;
        command.args(["rmi", "--force", image]);
        succeed(command).await.map(drop)
    }
}
