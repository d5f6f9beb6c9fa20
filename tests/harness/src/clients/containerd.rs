//! containerd, driven by ctr.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use oci::Digest;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Client, ClientRun, command, daemon, run, succeed};
use crate::client::Login;
use crate::process::Process;

/// The plugins that change the system or fail without their programs.
const DISABLED: [&str; 6] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
];

/// A running containerd. It stores no logins: each pull sends its own.
#[derive(Debug)]
pub struct Containerd {
    // Dropped before its folder.
    _daemon: Process,
    folder: TempDir,
    login: Option<Login>,
}

impl Containerd {
    /// Starts containerd without images.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let config = folder.path().join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = {DISABLED:?}\n[grpc]\naddress = \"{0}/socket\"\n",
            folder.path().display()
        );
        fs::write(&config, text)?;
        let arguments = ["--config", &config.display().to_string()];
        let mut daemon = daemon::start("containerd", &arguments, &[], folder.path())?;
        daemon::wait_until_ready(&mut daemon, || ctr(folder.path(), &["version"])).await?;
        Ok(Self { _daemon: daemon, folder, login: None })
    }

    /// The socket of its API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Sets the login of further pulls.
    pub fn set_login(&mut self, login: &Login) {
        self.login = Some(login.clone());
    }

    /// Pulls the images of a registry from this URL, which may have a path, as `hosts.toml`
    /// configures it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mirror(&self, registry: &str, mirror: &str) -> Result<()> {
        let folder = self.hosts().join(registry);
        fs::create_dir_all(&folder)?;
        let text = format!(
            "[host.\"{mirror}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
        );
        Ok(fs::write(folder.join("hosts.toml"), text)?)
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    fn ctr(&self, arguments: &[&str]) -> Result<Command> {
        ctr(self.folder.path(), arguments)
    }
}

impl Client for Containerd {
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<ClientRun> {
        let mut pull = self.ctr(&["images", "pull", "--snapshotter=native"])?;
        if let Some(Login { username, password }) = &self.login {
            pull.arg("--user").arg(format!("{username}:{password}"));
        }
        if self.hosts().exists() {
            pull.arg("--hosts-dir").arg(self.hosts());
        } else {
            pull.arg("--plain-http");
        }
        pull.args(platform.into_iter().flat_map(|name| ["--platform", name])).arg(image);
        run(pull).await
    }

    async fn has(&self, configuration: &Digest) -> Result<bool> {
        let get = self.ctr(&["content", "get", &configuration.to_string()])?;
        Ok(run(get).await?.success)
    }

    async fn remove(&self, image: &str) -> Result<()> {
        // --sync waits for the garbage collection.
        succeed(self.ctr(&["images", "rm", "--sync", image])?).await.map(drop)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn ctr(folder: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = command("ctr")?;
    command.arg("--address").arg(socket(folder)).args(arguments);
    Ok(command)
}
