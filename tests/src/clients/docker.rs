//! docker itself: a dockerd with its containerd, and docker's command.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::Digest;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::containerd::Containerd;
use super::{Client, Outcome, command, daemon, run, succeed};
use crate::client::Login;
use crate::process::Process;

/// Under which name docker keeps the login of Docker Hub, and so that of its mirrors.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A running dockerd.
#[derive(Debug)]
pub struct Docker {
    // Ends before its containerd, and that before the folder goes.
    _daemon: Process,
    _containerd: Containerd,
    folder: TempDir,
}

impl Docker {
    /// Starts one without logins and images.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        Self::with(&[], &[]).await
    }

    /// Starts one that takes Docker Hub's images from a mirror, which must be a URL's root and is
    /// reached through this HTTP proxy.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn mirroring(mirror: &str, proxy: &str) -> Result<Self> {
        Self::with(&["--registry-mirror", mirror], &[&format!("HTTP_PROXY={proxy}")]).await
    }

    async fn with(further: &[&str], variables: &[&str]) -> Result<Self> {
        let (folder, containerd) = (TempDir::new()?, Containerd::start().await?);
        let below = |name: &str| folder.path().join(name).display().to_string();
        let (data, exec, pid) = (below("data"), below("exec"), below("pid"));
        let (socket, host) = (containerd.socket().display().to_string(), host(folder.path()));
        let places = ["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid];
        let peers = ["--host", &host, "--containerd", &socket];
        // Nothing runs here, so there is nothing to connect.
        let alone =
            ["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"];
        let arguments = [&places[..], &peers, &alone, further].concat();
        let mut daemon = daemon::start("dockerd", &arguments, variables, folder.path())?;
        daemon::answers(&mut daemon, || docker(folder.path(), &["version"])).await?;
        Ok(Self { _daemon: daemon, _containerd: containerd, folder })
    }

    /// Logs in at a registry.
    ///
    /// # Errors
    /// It is not installed, or does not end.
    pub async fn log_in(&self, host: &str, login: &Login) -> Result<Outcome> {
        let Login { username, password } = login;
        run(self.docker(&["login", "--username", username, "--password", password, host])?).await
    }

    /// Keeps a login as that of Docker Hub, which mirrors are sent: `docker login` would ask Docker Hub
    /// itself about it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_login_of_docker_hub(&self, login: &Login) -> Result<()> {
        let pair = STANDARD.encode(format!("{}:{}", login.username, login.password));
        let logins = json!({"auths": {DOCKER_HUB: {"auth": pair}}});
        let folder = logins_of(self.folder.path());
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join("config.json"), logins.to_string())?)
    }

    fn docker(&self, arguments: &[&str]) -> Result<Command> {
        docker(self.folder.path(), arguments)
    }
}

impl Client for Docker {
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<Outcome> {
        let mut pull = self.docker(&["pull", "--quiet"])?;
        pull.args(platform.into_iter().flat_map(|name| ["--platform", name])).arg(image);
        run(pull).await
    }

    /// An image's id is its configuration's digest.
    async fn has(&self, configuration: &Digest) -> Result<bool> {
        let inspect = self.docker(&["image", "inspect", &configuration.to_string()])?;
        Ok(run(inspect).await?.success)
    }

    async fn forget(&self, image: &str) -> Result<()> {
        succeed(self.docker(&["rmi", "--force", image])?).await.map(drop)
    }
}

fn logins_of(folder: &Path) -> PathBuf {
    folder.join("config")
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}

fn docker(folder: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = command("docker")?;
    command.arg("--config").arg(logins_of(folder)).arg("--host").arg(host(folder)).args(arguments);
    Ok(command)
}
