//! A real S3: SeaweedFS, which checks signatures and keeps objects in a folder of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use anyhow::{Context as _, Result};
use reqwest::Client;
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::program;
use crate::shared::Shared;

/// By this it knows its one user.
pub const ACCESS_KEY: &str = "testkey";
/// What that user signs with.
pub const SECRET_KEY: &str = "testsecret";

/// A running server.
#[derive(Debug)]
pub struct Seaweed {
    // Fields are dropped in order: the folder goes when nobody writes there any more.
    server: Process,
    _folder: TempDir,
    endpoint: String,
    bucket: String,
    places: AtomicU32,
}

/// A place of its own in the server's one bucket, as each bucket takes some of the few volumes.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The prefix of its objects' names.
    pub prefix: String,
    /// The server's root URL.
    pub endpoint: String,
}

impl Seaweed {
    /// The server that all tests of this process share.
    ///
    /// # Errors
    /// `weed` is missing, or does not start.
    pub async fn shared() -> Result<std::sync::Arc<Self>> {
        static SHARED: Shared<Seaweed> = Shared::new();
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
        server.ready(&format!("{endpoint}/healthz")).await?;
        let bucket = format!("http://127.0.0.1:{filer}/buckets/{BUCKET}/");
        let client = Client::builder().no_proxy().build()?;
        // A folder of the filer is a bucket, and asks for no signature.
        client.post(&bucket).send().await?.error_for_status()?;
        Ok(Self { server, _folder: folder, endpoint, bucket, places: AtomicU32::new(0) })
    }

    /// An empty place.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        let prefix = format!("place-{}", self.places.fetch_add(1, Ordering::Relaxed));
        Bucket { prefix, endpoint: self.endpoint.clone() }
    }

    /// The names of uploads that were begun and neither finished nor aborted.
    ///
    /// # Errors
    /// The server fails.
    pub async fn uploads(&self) -> Result<Vec<String>> {
        let client = Client::builder().no_proxy().build()?;
        let folder = format!("{}.uploads/", self.bucket);
        let answer = client.get(folder).header("accept", "application/json").send().await?;
        if answer.status() == 404 {
            return Ok(Vec::new());
        }
        let listing: serde_json::Value = answer.error_for_status()?.json().await?;
        let entries = listing.get("Entries").and_then(serde_json::Value::as_array);
        let name = |entry: &serde_json::Value| Some(entry.get("FullPath")?.as_str()?.to_owned());
        Ok(entries.into_iter().flatten().filter_map(name).collect())
    }

    /// What the server has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Bucket {
    /// The lines of an origin's `[store]` that lead here.
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

/// SeaweedFS reports home unless told not to.
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

/// Ports nobody here talks to, which it would else choose near the others.
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

/// `$WEED`, or the one `.ci/seaweedfs` brings.
fn weed() -> Result<PathBuf> {
    let brought = program::target().join("tools/seaweedfs/bin/weed");
    let named = env::var_os("WEED").map(PathBuf::from).or_else(|| program::on_path("weed"));
    let found = named.into_iter().chain([brought]).find(|place| place.is_file());
    found.context("missing: weed; `just test` brings it; see .ci/seaweedfs")
}
