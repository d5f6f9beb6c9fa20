//! One upstream, and the servers that cache it.

use std::fs;

use anyhow::Result;
use harness::distribution::Distribution;
use harness::image::Image;
use harness::process::{Process, free_port};
use harness::program;
use serde_json::json;
use tempfile::TempDir;

use crate::nginx::Nginx;
use crate::origins::{Origin, Setup};
use crate::site::Site;

/// Distribution as a pull-through cache.
#[derive(Debug)]
pub(crate) struct Mirror {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Mirror {
    pub(crate) async fn start(upstream: &str) -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let file = folder.path().join("config.yml");
        // YAML is a superset of JSON.
        let configuration = json!({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "http": {"addr": format!("127.0.0.1:{port}")},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "proxy": {"remoteurl": upstream},
        });
        fs::write(&file, configuration.to_string())?;
        let registry = program::system("docker-registry")?;
        let arguments = ["serve", &file.display().to_string()];
        let mut process = Process::start("mirror", &registry, &arguments, folder.path())?;
        process.wait_until_ready(&format!("http://127.0.0.1:{port}/v2/")).await?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    pub(crate) fn site(&self) -> Site {
        Site::open("distribution proxy", self.port, "library/app")
    }
}

/// An upstream with one image, and all servers that cache it.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) origin: Origin,
    pub(crate) mirror: Mirror,
    pub(crate) nginx: Nginx,
    pub(crate) upstream: Distribution,
}

impl Servers {
    pub(crate) async fn start(image: &Image) -> Result<Self> {
        let upstream = Distribution::start().await?;
        upstream.push("library/app", "latest", image).await?;
        let url = upstream.url();
        Ok(Self {
            origin: Origin::start(&url, Setup::default()).await?,
            mirror: Mirror::start(&url).await?,
            nginx: Nginx::start(&url, image).await?,
            upstream,
        })
    }
}
