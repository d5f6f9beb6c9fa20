//! The edge as in production: `envoy/envoy.yaml` and its files, with TLS on all sides, in front of
//! cells and a Topology Service inside the test's process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Certificate, Client, ClientBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::client::Answer;
use crate::process::{Process, free_port};
use crate::{program, wait};

mod cell;
mod certificates;
mod files;
mod server;
mod topology;
mod wire;

pub use cell::{Cell, PIECE, Seen, piece};
pub use certificates::{Authority, Identity};
pub use files::shipped;
pub use topology::Topology;

/// The web hostname of the shipped configuration.
pub const WEB: &str = "gitlab.example.com";
/// A hostname of the shipped configuration where docker finds Docker Hub as `acme` has it.
pub const MIRROR: &str = "acme.mirror.gitlab.example.com";
/// The registry's hostname of the shipped configuration.
pub const REGISTRY: &str = "registry.gitlab.example.com";

/// A client that hears nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What of the shipped files is replaced for one test, for instance a timeout by a shorter one.
pub type Changes<'a> = &'a [(&'a str, &'a str)];

/// The version of HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
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
    /// Who signed all certificates.
    pub authority: Authority,
    /// The Topology Service; `acme` is in `cell-1`, `globex` in `cell-2`.
    pub topology: Topology,
    /// `cell-1`, `cell-2`, its second origin, `registry-cell-1`, `registry-cell-2`, and one that is
    /// in no file yet.
    pub cells: [Cell; 6],
    /// The port of metrics and readiness.
    pub stats_port: u16,
    address: SocketAddr,
    envoy: Process,
    home: TempDir,
}

impl Edge {
    /// Starts it as shipped.
    ///
    /// # Errors
    /// A program is missing, or Envoy does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts it with `envoy.yaml` changed.
    ///
    /// # Errors
    /// As [`Self::start`], or what is to be changed is not in the file.
    pub async fn start_with(changes: Changes<'_>) -> Result<Self> {
        let home = TempDir::new()?;
        let authority = Authority::new()?;
        let inside = authority.certify(&files::INSIDE)?;
        let topology = Topology::start(authority.server(&inside)?)?;
        topology.claim("acme", "cell-1");
        topology.claim("globex", "cell-2");
        let cell = |name: &str| Cell::start(name, authority.server(&inside)?);
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
        envoy.ready(&format!("http://127.0.0.1:{stats}/ready")).await?;
        let address = SocketAddr::from(([127, 0, 0, 1], edge));
        Ok(Self { folder, authority, topology, cells, stats_port: stats, address, envoy, home })
    }

    /// A URL at one of the hostnames.
    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// A client that trusts the edge's certificate and finds its hostnames here.
    ///
    /// # Errors
    /// It cannot be set up.
    pub fn client(&self, http: Http) -> Result<Client> {
        let client = self.client_builder()?;
        Ok(match http {
            Http::One => client.http1_only(),
            Http::Two => client.http2_prior_knowledge(),
        }
        .build()?)
    }

    /// A client of either protocol, to be set up further.
    ///
    /// # Errors
    /// The authority's certificate is not understood.
    pub fn client_builder(&self) -> Result<ClientBuilder> {
        let root = Certificate::from_pem(self.authority.pem().as_bytes())?;
        let mut client = Client::builder().no_proxy().tls_certs_only([root]).read_timeout(PATIENCE);
        for host in [WEB, MIRROR, REGISTRY] {
            client = client.resolve(host, self.address);
        }
        Ok(client)
    }

    /// Asks by GET, with headers that may repeat.
    ///
    /// # Errors
    /// No answer, or one that breaks off.
    pub async fn get(
        &self,
        http: Http,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let request = self.client(http)?.get(self.url(host, path));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    /// Moves a file into the folder Envoy watches.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn move_into_place(&self, name: &str, text: &str) -> Result<()> {
        Ok(router::install::move_into_place(&self.folder.join(name), text)?)
    }

    /// A file of the folder Envoy watches.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.folder.join(name)).with_context(|| name.to_owned())
    }

    /// The value of one of Envoy's counters or gauges, by its full name.
    ///
    /// # Errors
    /// Envoy does not answer, or there is none of that name.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let mut admin = UnixStream::connect(self.home.path().join("run/admin.sock")).await?;
        admin.write_all(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        admin.read_to_string(&mut answer).await?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.with_context(|| format!("no counter {name}"))?.trim().parse()?)
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// A minute passes; what Envoy printed last is told.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
        let waited = wait::until(what, async || holds().await.then_some(())).await;
        waited.with_context(|| self.envoy.last_lines())
    }

    /// Everything Envoy printed or logged so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.envoy.log() + &self.access_log()
    }

    /// What Envoy wrote into its access log so far.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.home.path().join("access.log")).unwrap_or_default()
    }
}

/// Has Envoy check the shipped files; gives what it said.
///
/// # Errors
/// It refuses them.
pub fn validate() -> Result<String> {
    let home = TempDir::new()?;
    let authority = Authority::new()?;
    files::write(home.path(), &authority, [443, 8443, 9902], &[], &[])?;
    check(&home.path().join("envoy.yaml"))
}

/// Has Envoy check a bootstrap; gives what it said.
///
/// # Errors
/// It refuses it, and says why.
pub fn check(bootstrap: &Path) -> Result<String> {
    let checked = std::process::Command::new(program::envoy()?)
        .args(["--mode", "validate", "--config-path"])
        .arg(bootstrap)
        .output()?;
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(checked.status.success(), "{said}");
    Ok(said)
}

fn start_envoy(home: &Path) -> Result<Process> {
    let config = home.join("envoy.yaml").display().to_string();
    let arguments = ["--config-path", &config, "--disable-hot-restart", "--concurrency", "2"];
    let more = ["--reject-unknown-dynamic-fields", "--file-flush-interval-msec", "50"];
    let arguments = [&arguments[..], &more].concat();
    Process::start("envoy", &program::envoy()?, &arguments, home)
}
