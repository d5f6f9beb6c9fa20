//! SeaweedFS, a real S3 server that checks signatures.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use anyhow::{Context as _, Result};
use reqwest::Client;
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::program;
use crate::shared::SharedServer;

/// The access key of the only user.
pub const ACCESS_KEY: &str = "testkey";
/// The secret key of that user.
pub const SECRET_KEY: &str = "testsecret";

/// A running server.
#[derive(Debug)]
pub struct Seaweed {
    // Dropped before the folder it writes to.
    server: Process,
    _folder: TempDir,
    endpoint: String,
    bucket: String,
    prefixes: AtomicU32,
}

/// A prefix of the server's only bucket. Each bucket would take some of the few volumes.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The prefix of the objects' names.
    pub prefix: String,
    /// The root URL of the server.
    pub endpoint: String,
}

impl Seaweed {
    /// Returns the server that all tests of this process share.
    ///
    /// # Errors
    /// `weed` is missing, or does not start.
    pub async fn shared() -> Result<std::sync::Arc<Self>> {
        static SHARED: SharedServer<Seaweed> = SharedServer::new();
        SHARED.get(Self::start).await
    }

    /// Starts an empty server.
    ///
    /// # Errors
    /// `weed` is missing, or does not start.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let users = folder.path().join("s3.json");
        fs::write(&users, users_file())?;
        let (s3, filer) = (free_port()?, free_port()?);
        let home = folder.path().display();
        let mut arguments = vec![format!("-dir={home}"), format!("-s3.config={}", users.display())];
        arguments.extend([format!("-s3.port={s3}"), format!("-filer.port={filer}")]);
        for port in INNER_PORTS {
            arguments.push(format!("-{port}={}", free_port()?));
        }
        let arguments = FIXED.iter().copied().chain(arguments.iter().map(String::as_str));
        let arguments: Vec<_> = arguments.collect();
        let mut server = Process::start("seaweedfs", &weed()?, &arguments, folder.path())?;
        let endpoint = format!("http://127.0.0.1:{s3}");
        server.wait_until_ready(&format!("{endpoint}/healthz")).await?;
        let bucket = format!("http://127.0.0.1:{filer}/buckets/{BUCKET}/");
        let client = Client::builder().no_proxy().build()?;
        // A folder of the filer is a bucket; the filer requires no signature.
        client.post(&bucket).send().await?.error_for_status()?;
        Ok(Self { server, _folder: folder, endpoint, bucket, prefixes: AtomicU32::new(0) })
    }

    /// Returns an empty prefix of the bucket.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        let prefix = format!("prefix-{}", self.prefixes.fetch_add(1, Ordering::Relaxed));
        Bucket { prefix, endpoint: self.endpoint.clone() }
    }

    /// Returns the names of the uploads that are neither completed nor aborted.
    ///
    /// # Errors
    /// The server fails.
    pub async fn uploads(&self) -> Result<Vec<String>> {
        let client = Client::builder().no_proxy().build()?;
        let folder = format!("{}.uploads/", self.bucket);
        let response = client.get(folder).header("accept", "application/json").send().await?;
        if response.status() == 404 {
            return Ok(Vec::new());
        }
        let listing: serde_json::Value = response.error_for_status()?.json().await?;
        let entries = listing.get("Entries").and_then(serde_json::Value::as_array);
        let name = |entry: &serde_json::Value| Some(entry.get("FullPath")?.as_str()?.to_owned());
        Ok(entries.into_iter().flatten().filter_map(name).collect())
    }

    /// The server's output.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Bucket {
    /// The lines of an origin's `[store]` for this prefix.
    #[must_use]
    pub fn store_lines(&self) -> String {
        let Self { prefix, endpoint } = self;
        format!(
            "url = \"s3://{BUCKET}/{prefix}\"\noptions.endpoint = \"{endpoint}\"\n\
             options.access_key_id = \"{ACCESS_KEY}\"\n\
             options.secret_access_key = \"{SECRET_KEY}\"\n\
             options.region = \"us-east-1\"\noptions.allow_http = true\n"
        )
    }
}

const BUCKET: &str = "cells";

/// The fixed arguments; SeaweedFS sends telemetry by default.
const FIXED: [&str; 10] = [
    "-logtostderr=true",
    "server",
    "-master.telemetry=false",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-volume.max=32",
    "-master.volumeSizeLimitMB=256",
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
];

/// Ports that no test uses. By default SeaweedFS takes some near the others.
const INNER_PORTS: [&str; 7] = [
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port.grpc",
    "s3.port.grpc",
    "s3.port.lance",
];

fn users_file() -> String {
    let credential = format!(r#"{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}"#);
    format!(
        r#"{{"identities":[{{"name":"test","credentials":[{credential}],"actions":["Admin"]}}]}}"#
    )
}

/// Finds `$WEED`, or the one that `.ci/seaweedfs` installs.
fn weed() -> Result<PathBuf> {
    let brought = program::target().join("tools/seaweedfs/bin/weed");
    let named = env::var_os("WEED").map(PathBuf::from).or_else(|| program::on_path("weed"));
    let found = named.into_iter().chain([brought]).find(|place| place.is_file());
    found.context("missing: weed; `just test` installs it; see .ci/seaweedfs")
}
