//! containerd, and ctr to speak to it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use oci::Digest;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Client, Outcome, command, daemon, run, succeed};
use crate::client::Login;
use crate::process::Process;

/// What touches the system, or is looked for in vain.
const LEFT_OUT: [&str; 6] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
];

/// A running containerd. It keeps no logins: each pull brings its own.
#[derive(Debug)]
pub struct Containerd {
    // Ends before its folder goes.
    _daemon: Process,
    folder: TempDir,
    login: Option<Login>,
}

impl Containerd {
    /// Starts one without images.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let config = folder.path().join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = {LEFT_OUT:?}\n[grpc]\naddress = \"{0}/socket\"\n",
            folder.path().display()
        );
        fs::write(&config, text)?;
        let arguments = ["--config", &config.display().to_string()];
        let mut daemon = daemon::start("containerd", &arguments, &[], folder.path())?;
        daemon::answers(&mut daemon, || ctr(folder.path(), &["version"])).await?;
        Ok(Self { _daemon: daemon, folder, login: None })
    }

    /// Where its clients find it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Pulls as this user from now on.
    pub fn become_user(&mut self, login: &Login) {
        self.login = Some(login.clone());
    }

    /// Takes images of a registry from this place, a URL that may have a path, as `hosts.toml` says it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mirror(&self, registry: &str, place: &str) -> Result<()> {
        let folder = self.hosts().join(registry);
        fs::create_dir_all(&folder)?;
        let text = format!(
            "[host.\"{place}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
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
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<Outcome> {
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

    async fn forget(&self, image: &str) -> Result<()> {
        // --sync: until what nothing refers to any more is gone.
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
