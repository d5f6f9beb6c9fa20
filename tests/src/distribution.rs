//! A real CNCF distribution registry (Debian's `docker-registry`), in a folder of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use oci::Digest;
use reqwest::{Client, Response};
use tempfile::TempDir;

use crate::image::Image;
use crate::process::{Process, free_port};
use crate::program;

/// A running registry.
#[derive(Debug)]
pub struct Distribution {
    folder: TempDir,
    process: Option<Process>,
    port: u16,
    client: Client,
}

impl Distribution {
    /// Starts an empty registry on a free port, without authentication.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let (folder, port) = (TempDir::new()?, free_port()?);
        let mut registry = Self { folder, process: None, port, client };
        registry.resume().await?;
        Ok(registry)
    }

    /// Starts it again, on the same port, with what it holds.
    ///
    /// # Errors
    /// It does not start.
    pub async fn resume(&mut self) -> Result<()> {
        let config = write_config(self.folder.path(), self.port)?;
        let program = program::system("docker-registry")?;
        let arguments = ["serve", config.as_str()];
        let mut process =
            Process::start("docker-registry", &program, &arguments, self.folder.path())?;
        process.ready(&format!("{}/v2/", self.url())).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it; what it holds stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Its root URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Pushes an image under a tag, by the registry API.
    ///
    /// # Errors
    /// The registry refuses a part.
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

fn write_config(folder: &Path, port: u16) -> Result<String> {
    let data = folder.join("data");
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: 127.0.0.1:{port}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
        data.display()
    );
    let path = folder.join("config.yml");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}
