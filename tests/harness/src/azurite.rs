//! Azurite, Microsoft's emulator of Azure Blob Storage.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use reqwest::Client;
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::program;
use crate::shared::SharedServer;

/// A running emulator with one container.
#[derive(Debug)]
pub struct Azurite {
    // Dropped before the folder it writes to.
    _server: Process,
    _folder: TempDir,
    endpoint: String,
    prefixes: AtomicU32,
}

impl Azurite {
    /// Returns the emulator that all tests of this process share.
    ///
    /// # Errors
    /// Azurite or node is missing, or does not start.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: SharedServer<Azurite> = SharedServer::new();
        SHARED.get(Self::start).await
    }

    async fn start() -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?.to_string());
        let (script, home) = (script()?, folder.path().display().to_string());
        let arguments = [
            script.to_str().context("a path that is not UTF-8")?,
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--blobPort",
            &port,
            "--location",
            &home,
        ];
        let node = program::system("node")?;
        let mut server = Process::start("azurite", &node, &arguments, folder.path())?;
        let endpoint = format!("http://127.0.0.1:{port}/devstoreaccount1");
        // It refuses requests without a signature.
        server.wait_for_status(&format!("{endpoint}/{CONTAINER}?restype=container"), 403).await?;
        let container = format!("{endpoint}/{CONTAINER}?restype=container&{SIGNED}");
        let client = Client::builder().no_proxy().build()?;
        client.put(container).header("content-length", 0).send().await?.error_for_status()?;
        let prefixes = AtomicU32::new(0);
        Ok(Self { _server: server, _folder: folder, endpoint, prefixes })
    }

    /// The lines of an origin's `[store]` for an empty prefix of the container.
    #[must_use]
    pub fn store_lines(&self) -> String {
        let (endpoint, prefix) = (&self.endpoint, self.prefixes.fetch_add(1, Ordering::Relaxed));
        format!(
            "url = \"az://{CONTAINER}/prefix-{prefix}\"\noptions.endpoint = \"{endpoint}\"\n\
             options.account_name = \"devstoreaccount1\"\noptions.access_key = \"{KEY}\"\n\
             options.allow_http = true\n"
        )
    }
}

const CONTAINER: &str = "cells";

/// The account key of every Azurite, from its documentation.
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A shared access signature of the account, made with that key.
const SIGNED: &str = "sv=2018-11-09&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00:00:00Z&sig=CPoOux8rQhR0b5pwICKRhVPCypVOv2XSgLfWcXpc32c%3D";

/// Finds `$AZURITE`, or the one that `.ci/azurite` installs.
fn script() -> Result<PathBuf> {
    let brought = "tools/azurite/node_modules/azurite/dist/src/blob/main.js";
    let named = env::var_os("AZURITE").map(PathBuf::from);
    let mut places = named.into_iter().chain([program::target().join(brought)]);
    let found = places.find(|place| place.is_file());
    found.context("missing: Azurite; `just test` installs it; see .ci/azurite")
}
