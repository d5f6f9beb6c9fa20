//! The edge as in production: `envoy/envoy.yaml` and its files with TLS on all sides, in front of
//! fake Cells and a fake Topology Service.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Certificate, Client, ClientBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::client::HttpResponse;
use crate::process::{Process, free_port};
use crate::{program, wait};

mod cell;
mod certificates;
mod files;
mod server;
mod topology;
mod wire;

pub use cell::{CellRequest, FakeCell, PIECE, piece};
pub use certificates::{Authority, Identity};
pub use files::shipped;
pub use topology::FakeTopology;

/// The web hostname of the shipped configuration.
pub const WEB: &str = "gitlab.example.com";
/// The hostname of the shipped configuration that mirrors Docker Hub for `acme`.
pub const MIRROR: &str = "acme.mirror.gitlab.example.com";
/// The registry hostname of the shipped configuration.
pub const REGISTRY: &str = "registry.gitlab.example.com";

/// How long a client waits for the next byte.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Replacements in the shipped files for one test, such as a shorter timeout.
pub type Changes<'a> = &'a [(&'a str, &'a str)];

/// The HTTP version of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// A running edge. `cell-1` has one origin, `cell-2` has two.
#[derive(Debug)]
pub struct Edge {
    /// The folder Envoy watches, `/etc/envoy` in production.
    pub folder: PathBuf,
    /// The issuer of all certificates.
    pub authority: Authority,
    /// The Topology Service; `acme` is in `cell-1`, `globex` in `cell-2`.
    pub topology: FakeTopology,
    /// `cell-1`, `cell-2`, its second origin, `registry-cell-1`, `registry-cell-2`, and `cell-3`,
    /// which is in no file yet.
    pub cells: [FakeCell; 6],
    /// The port of metrics and readiness.
    pub stats_port: u16,
    address: SocketAddr,
    envoy: Process,
    home: TempDir,
}

impl Edge {
    /// Starts the edge as shipped.
    ///
    /// # Errors
    /// A program is missing, or Envoy does not start.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts the edge with a changed `envoy.yaml`.
    ///
    /// # Errors
    /// As [`Self::start`], or the file lacks a text to replace.
    pub async fn start_with(changes: Changes<'_>) -> Result<Self> {
        let home = TempDir::new()?;
        let authority = Authority::new()?;
        let inside = authority.certify(&files::INSIDE)?;
        let topology = FakeTopology::start(authority.server(&inside)?)?;
        topology.claim("acme", "cell-1");
        topology.claim("globex", "cell-2");
        let cell = |name: &str| FakeCell::start(name, authority.server(&inside)?);
        let cells = [
            cell("cell-1")?,
            cell("cell-2")?,
            cell("cell-2")?,
            cell("registry-cell-1")?,
            cell("registry-cell-2")?,
            cell("cell-3")?,
        ];
        let ports = [topology.port(), free_port()?, free_port()?];
        let folder = home.path().join("etc");
        files::write(home.path(), &authority, ports, &cells, changes)?;
        let [_, edge, stats] = ports;
        let mut envoy = start_envoy(home.path())?;
        envoy.wait_until_ready(&format!("http://127.0.0.1:{stats}/ready")).await?;
        let address = SocketAddr::from(([127, 0, 0, 1], edge));
        Ok(Self { folder, authority, topology, cells, stats_port: stats, address, envoy, home })
    }

    /// The URL of a path at one of the hostnames.
    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// Creates a client that trusts the edge's certificate and resolves its hostnames to it.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn client(&self, http: HttpVersion) -> Result<Client> {
        let client = self.client_builder()?;
        Ok(match http {
            HttpVersion::One => client.http1_only(),
            HttpVersion::Two => client.http2_prior_knowledge(),
        }
        .build()?)
    }

    /// Prepares a client of either HTTP version.
    ///
    /// # Errors
    /// The authority's certificate cannot be parsed.
    pub fn client_builder(&self) -> Result<ClientBuilder> {
        let root = Certificate::from_pem(self.authority.pem().as_bytes())?;
        let mut client = Client::builder().no_proxy().tls_certs_only([root]).read_timeout(TIMEOUT);
        for host in [WEB, MIRROR, REGISTRY] {
            client = client.resolve(host, self.address);
        }
        Ok(client)
    }

    /// Sends a GET with these headers, which may repeat.
    ///
    /// # Errors
    /// The request fails or the response breaks off.
    pub async fn get(
        &self,
        http: HttpVersion,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<HttpResponse> {
        let request = self.client(http)?.get(self.url(host, path));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        HttpResponse::read(request.send().await?).await
    }

    /// Moves a file into the folder Envoy watches.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn move_into_place(&self, name: &str, text: &str) -> Result<()> {
        Ok(router::install::move_into_place(&self.folder.join(name), text)?)
    }

    /// Reads a file of the folder Envoy watches.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.folder.join(name)).with_context(|| name.to_owned())
    }

    /// Returns the value of one of Envoy's counters or gauges, by its full name.
    ///
    /// # Errors
    /// Envoy does not respond, or has no metric of this name.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let mut admin = UnixStream::connect(self.home.path().join("run/admin.sock")).await?;
        admin.write_all(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut response = String::new();
        admin.read_to_string(&mut response).await?;
        let value = response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// A minute passes; the error holds Envoy's last lines.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
        let waited = wait::until(what, async || holds().await.then_some(())).await;
        waited.with_context(|| self.envoy.last_lines())
    }

    /// Envoy's output and its access log so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.envoy.log() + &self.access_log()
    }

    /// Envoy's access log so far.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.home.path().join("access.log")).unwrap_or_default()
    }
}

/// Lets Envoy validate the shipped files, and returns its output.
///
/// # Errors
/// Envoy refuses them.
pub fn validate() -> Result<String> {
    let home = TempDir::new()?;
    let authority = Authority::new()?;
    files::write(home.path(), &authority, [443, 8443, 9902], &[], &[])?;
    check(&home.path().join("envoy.yaml"))
}

/// Lets Envoy validate a bootstrap, and returns its output.
///
/// # Errors
/// Envoy refuses it; the error holds its output.
pub fn check(bootstrap: &Path) -> Result<String> {
    let run = std::process::Command::new(program::envoy()?)
        .args(["--mode", "validate", "--config-path"])
        .arg(bootstrap)
        .output()?;
    let output = [run.stdout, run.stderr].concat();
    let output = String::from_utf8_lossy(&output).into_owned();
    ensure!(run.status.success(), "{output}");
    Ok(output)
}

fn start_envoy(home: &Path) -> Result<Process> {
    let config = home.join("envoy.yaml").display().to_string();
    let arguments = ["--config-path", &config, "--disable-hot-restart", "--concurrency", "2"];
    let more = ["--reject-unknown-dynamic-fields", "--file-flush-interval-msec", "50"];
    let arguments = [&arguments[..], &more].concat();
    Process::start("envoy", &program::envoy()?, &arguments, home)
}
