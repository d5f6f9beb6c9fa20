//! Docker: dockerd with its own containerd, and the docker command.

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
use super::{Client, ClientRun, command, daemon, run, succeed};
use crate::client::Login;
use crate::process::Process;

/// The name under which docker stores the login of Docker Hub and its mirrors.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A running dockerd.
#[derive(Debug)]
pub struct Docker {
    // Dropped before its containerd, and that before the folder.
    _daemon: Process,
    _containerd: Containerd,
    folder: TempDir,
}

impl Docker {
    /// Starts dockerd without logins and images.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        Self::with(&[], &[]).await
    }

    /// Starts dockerd with a mirror of Docker Hub, a URL without a path, which it reaches through
    /// an HTTP proxy.
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
        let folders = ["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid];
        let peers = ["--host", &host, "--containerd", &socket];
        // No container runs, so none needs a network.
        let alone =
            ["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"];
        let arguments = [&folders[..], &peers, &alone, further].concat();
        let mut daemon = daemon::start("dockerd", &arguments, variables, folder.path())?;
        daemon::wait_until_ready(&mut daemon, || docker(folder.path(), &["version"])).await?;
        Ok(Self { _daemon: daemon, _containerd: containerd, folder })
    }

    /// Logs in at a registry.
    ///
    /// # Errors
    /// docker is not installed, or times out.
    pub async fn log_in(&self, host: &str, login: &Login) -> Result<ClientRun> {
        let Login { username, password } = login;
        run(self.docker(&["login", "--username", username, "--password", password, host])?).await
    }

    /// Stores a login for Docker Hub, which docker also sends to mirrors. `docker login` would
    /// check it at Docker Hub itself.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store_docker_hub_login(&self, login: &Login) -> Result<()> {
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
    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<ClientRun> {
        let mut pull = self.docker(&["pull", "--quiet"])?;
        pull.args(platform.into_iter().flat_map(|name| ["--platform", name])).arg(image);
        run(pull).await
    }

    /// The id of an image is the digest of its configuration.
    async fn has(&self, configuration: &Digest) -> Result<bool> {
        let inspect = self.docker(&["image", "inspect", &configuration.to_string()])?;
        Ok(run(inspect).await?.success)
    }

    async fn remove(&self, image: &str) -> Result<()> {
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
