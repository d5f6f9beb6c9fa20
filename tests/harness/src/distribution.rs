//! A real CNCF distribution registry (Debian's `docker-registry`): an upstream, or a Cell's
//! container registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};
use oci::Digest;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::image::Image;
use crate::process::{Process, free_port};
use crate::program;
use crate::wait::until;

/// A running registry.
#[derive(Debug)]
pub struct Distribution {
    folder: TempDir,
    process: Option<Process>,
    port: u16,
    client: Client,
    markers: AtomicUsize,
}

impl Distribution {
    /// Starts an empty registry on a free port, without authentication.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let (folder, port) = (TempDir::new()?, free_port()?);
        let markers = AtomicUsize::new(0);
        let mut registry = Self { folder, process: None, port, client, markers };
        registry.start_again().await?;
        Ok(registry)
    }

    /// Starts the registry again, on the same port and with its images.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let process = serve("docker-registry", folder, folder, self.port, None).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the registry; its images stay.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The root URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Counts the GETs of manifests and blobs of a repository since the registry started.
    ///
    /// # Errors
    /// The registry does not respond.
    pub async fn gets(&self, repository: &str) -> Result<usize> {
        // The registry logs a request after its response, so wait until it has logged a last one.
        let marker =
            format!("/v2/{repository}/tags/list?marker={}", self.markers.fetch_add(1, Relaxed));
        self.client.get(format!("{}{marker}", self.url())).send().await?;
        let log = || self.process.as_ref().map(Process::log).unwrap_or_default();
        until("the log", async || log().contains(&format!("{marker} ")).then_some(())).await?;
        let get =
            |line: &str, kind: &str| line.contains(&format!("\"GET /v2/{repository}/{kind}/"));
        Ok(log().lines().filter(|line| get(line, "manifests") || get(line, "blobs")).count())
    }

    /// Pushes an image under a tag through the registry API.
    ///
    /// # Errors
    /// The registry refuses a manifest or blob.
    pub async fn push(&self, repository: &str, tag: &str, image: &Image) -> Result<()> {
        for blob in &image.blobs {
            self.push_blob(repository, blob).await?;
        }
        for manifest in image.manifests() {
            let digest = manifest.digest().to_string();
            let last = manifest.bytes == image.top.bytes;
            let reference = if last { tag } else { digest.as_str() };
            let url = format!("{}/v2/{repository}/manifests/{reference}", self.url());
            let request = self.client.put(url).header("content-type", &manifest.media_type);
            created(request.body(manifest.bytes.clone()).send().await?).await?;
        }
        Ok(())
    }

    async fn push_blob(&self, repository: &str, blob: &[u8]) -> Result<()> {
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let started = self.client.post(url).send().await?;
        let location = started.headers().get("location").context("no upload location")?;
        let location = location.to_str()?;
        let joint = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joint}digest={}", Digest::of(blob));
        created(self.client.put(url).body(blob.to_vec()).send().await?).await
    }
}

async fn created(response: Response) -> Result<()> {
    let status = response.status();
    ensure!(status.as_u16() == 201, "the push got {status}: {}", response.text().await?);
    Ok(())
}

/// The tokens that a registry accepts (distribution's `auth.token`).
#[derive(Debug, Clone)]
pub struct TokenAuth {
    /// The URL of the token endpoint.
    pub realm: String,
    /// The `iss` of the tokens.
    pub issuer: String,
    /// The certificate of the signing key.
    pub certificate: PathBuf,
}

/// Starts a registry with its data in `home` and its log in `logs`, and waits until it is ready.
///
/// # Errors
/// It is not installed or does not start.
pub async fn serve(
    name: &str,
    home: &Path,
    logs: &Path,
    port: u16,
    auth: Option<&TokenAuth>,
) -> Result<Process> {
    let path = home.join("config.yml");
    // YAML is a superset of JSON.
    fs::write(&path, configuration(home, port, auth).to_string())?;
    let arguments = ["serve", &path.display().to_string()];
    let mut process = Process::start(name, &program::system("docker-registry")?, &arguments, logs)?;
    let status = if auth.is_some() { 401 } else { 200 };
    process.wait_for_status(&format!("http://127.0.0.1:{port}/v2/"), status).await?;
    Ok(process)
}

/// Without an `http.secret`, which replicas must share, the registry makes a random one.
fn configuration(home: &Path, port: u16, auth: Option<&TokenAuth>) -> Value {
    let auth = auth.map(|TokenAuth { realm, issuer, certificate }| {
        json!({"token": {
            "realm": realm, "service": "container_registry", "issuer": issuer,
            "rootcertbundle": certificate,
        }})
    });
    json!({
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": auth.is_some()}},
        // Behind the edge it does not know its own host name, so upload locations are relative.
        "http": {"addr": format!("127.0.0.1:{port}"), "relativeurls": auth.is_some()},
        "storage": {
            "filesystem": {"rootdirectory": home.join("data")},
            "delete": {"enabled": true},
        },
        "auth": auth,
    })
}
