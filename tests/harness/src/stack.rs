//! The whole edge in real processes: Envoy with the filter, the Topology Service, and two Cells,
//! each with its origin and its container registry.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::distribution::{self, TokenAuth};
use crate::process::{Process, free_port, is_free};
use crate::program;
use crate::wait::until;

mod config;
mod edge;
mod seed;
mod settings;

pub use seed::GROUPS;
pub use settings::{Fleet, RegistryDesign, Settings, TopologyAddress};

const ENVOY: &str = "envoy";

/// The ports on loopback.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The edge's web host.
    pub edge: u16,
    /// The edge's registry host.
    pub registry_edge: u16,
    /// Envoy's admin interface.
    pub admin: u16,
    /// The Topology Service's REST API.
    pub topology: u16,
    /// The Topology Service's gRPC API.
    pub topology_grpc: u16,
    /// The origins of `cell-1` and `cell-2`.
    pub origins: [u16; 2],
    /// The container registries of `cell-1` and `cell-2`.
    pub registries: [u16; 2],
}

impl Ports {
    /// The ports of the demo, as the README names them.
    pub const DEMO: Self = Self {
        edge: 8080,
        registry_edge: 5000,
        admin: 9901,
        topology: 9096,
        topology_grpc: 9095,
        origins: [8101, 8102],
        registries: [5101, 5102],
    };

    /// Chooses free ports.
    ///
    /// # Errors
    /// No port is free.
    pub fn free() -> Result<Self> {
        Ok(Self {
            edge: free_port()?,
            registry_edge: free_port()?,
            admin: free_port()?,
            topology: free_port()?,
            topology_grpc: free_port()?,
            origins: [free_port()?, free_port()?],
            registries: [free_port()?, free_port()?],
        })
    }

    fn all(&self) -> [(&'static str, u16); 9] {
        let ([first, second], [first_registry, second_registry]) = (self.origins, self.registries);
        [
            ("the edge", self.edge),
            ("the edge's registry host", self.registry_edge),
            ("Envoy's admin", self.admin),
            ("the Topology Service", self.topology),
            ("the Topology Service's gRPC", self.topology_grpc),
            ("the origin of cell-1", first),
            ("the origin of cell-2", second),
            ("the container registry of cell-1", first_registry),
            ("the container registry of cell-2", second_registry),
        ]
    }
}

/// A group, its Cell, and the login of a member: an entry of `demo.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The group's full path.
    pub path: String,
    /// The Cell it belongs to.
    pub cell: String,
    /// The name of a member.
    pub username: String,
    /// The member's personal access token.
    pub password: String,
    /// The prefix of images in the dependency proxy.
    pub image_prefix: String,
    /// The prefix of images in the container registry.
    pub registry_prefix: String,
}

/// A running edge.
#[derive(Debug)]
pub struct Stack {
    /// The ports.
    pub ports: Ports,
    /// The groups and their logins.
    pub groups: Vec<Group>,
    folder: PathBuf,
    envoy: Process,
    topology: Process,
    origins: Vec<Process>,
    registries: Vec<Process>,
    reported: BTreeSet<String>,
}

impl Stack {
    /// Starts all processes and waits until they are ready.
    ///
    /// # Errors
    /// A port is in use, a program is missing, or one does not start.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let Settings { ports, folder, .. } = settings;
        for (what, port) in ports.all() {
            ensure!(
                is_free(port),
                "port {port} on 127.0.0.1, for {what}, is in use; stop the process that listens on it"
            );
        }
        create_private(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        config::write(settings, &folder)?;
        let groups = seed::seed(&folder, ports)?;
        let mut topology = start_topology(ports, &folder)?;
        topology
            .wait_until_ready(&format!("http://127.0.0.1:{}/health/ready", ports.topology))
            .await?;
        let mut origins = Vec::new();
        for described in settings.origins() {
            origins.push(start_origin(&described.name, described.port, &folder).await?);
        }
        let mut registries = Vec::new();
        for (cell, port) in (1..).zip(ports.registries) {
            registries.push(start_registry(cell, port, ports, &folder).await?);
        }
        let mut envoy = start_envoy(&folder)?;
        envoy.wait_until_ready(&format!("http://127.0.0.1:{}/ready", ports.admin)).await?;
        let reported = BTreeSet::new();
        Ok(Self { ports: *ports, groups, folder, envoy, topology, origins, registries, reported })
    }

    /// The edge's root URL.
    #[must_use]
    pub fn edge(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.edge)
    }

    /// The root URL of the edge's registry host.
    #[must_use]
    pub fn registry_edge(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.registry_edge)
    }

    /// The folder of the repositories in a Cell's container registry.
    #[must_use]
    pub fn repositories(&self, cell: usize) -> PathBuf {
        registry_home(&self.folder, cell).join("data/docker/registry/v2/repositories")
    }

    /// Runs a command of a Cell's origin, as its operator would, and returns its output.
    ///
    /// # Errors
    /// The command fails.
    pub fn run_origin(&self, cell: usize, arguments: &[&str]) -> Result<String> {
        seed::run(&self.folder, cell, arguments)
    }

    /// The group at this path.
    ///
    /// # Errors
    /// The stack has no such group.
    pub fn group(&self, path: &str) -> Result<&Group> {
        let found = self.groups.iter().find(|group| group.path == path);
        found.with_context(|| format!("the stack has no group {path}"))
    }

    /// The process of the Topology Service.
    pub fn topology(&mut self) -> &mut Process {
        &mut self.topology
    }

    /// The process of Envoy.
    pub fn envoy(&mut self) -> &mut Process {
        &mut self.envoy
    }

    /// Kills an origin, named as its log file is.
    ///
    /// # Errors
    /// The stack has no origin of this name.
    pub fn kill_origin(&mut self, name: &str) -> Result<()> {
        let mut named = self.origins.iter_mut().filter(|origin| origin.name() == name);
        named.next().with_context(|| format!("the stack has no {name}"))?.kill();
        Ok(())
    }

    /// Starts an origin again, on its port and with its data.
    ///
    /// # Errors
    /// The origin does not start.
    pub async fn restart_origin(&mut self, name: &str, port: u16) -> Result<()> {
        self.origins.retain(|origin| origin.name() != name);
        self.origins.push(start_origin(name, port, &self.folder).await?);
        Ok(())
    }

    /// Changes Envoy's clusters while it runs, and waits until it has loaded them.
    ///
    /// # Errors
    /// Envoy does not load them.
    pub async fn change_clusters(&self, change: impl FnOnce(&str) -> String) -> Result<()> {
        let file = self.folder.join("clusters.yaml");
        let before = self.stat("cluster_manager.cds.update_success").await?;
        router::install::move_into_place(&file, &change(&fs::read_to_string(&file)?))?;
        let updated = async || {
            let now = self.stat("cluster_manager.cds.update_success").await.ok()?;
            (now > before).then_some(())
        };
        until("Envoy to load its new clusters", updated).await
    }

    /// Returns the value of one of Envoy's counters or gauges.
    ///
    /// # Errors
    /// Envoy does not respond, or has no metric of this name.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://127.0.0.1:{}/stats?filter=^{name}$", self.ports.admin);
        let text = client.get(url).send().await?.text().await?;
        let value = text.trim().rsplit_once(": ").with_context(|| format!("no metric {name}"))?.1;
        Ok(value.parse()?)
    }

    /// Envoy's access log so far.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder.join("access.log")).unwrap_or_default()
    }

    /// The output of all processes and Envoy's access log so far.
    #[must_use]
    pub fn logs(&self) -> String {
        let cells = self.origins.iter().chain(&self.registries);
        let processes = cells.chain([&self.envoy, &self.topology]);
        processes.map(Process::log).chain([self.access_log()]).collect()
    }

    /// Returns a process that has exited and was not returned before.
    ///
    /// # Errors
    /// The system does not report the exit.
    pub fn exited(&mut self) -> Result<Option<ExitedProcess>> {
        let others =
            self.origins.iter_mut().chain(&mut self.registries).chain([&mut self.topology]);
        for process in others.chain([&mut self.envoy]) {
            let Some(status) = process.exit_status()? else { continue };
            if self.reported.insert(process.name().to_owned()) {
                return Ok(Some(ExitedProcess::new(process, status)));
            }
        }
        Ok(None)
    }
}

/// A process that has exited.
#[derive(Debug)]
pub struct ExitedProcess {
    /// Its name, its exit status, its last lines and the path of its log.
    pub report: String,
    /// Whether it is Envoy, and so the edge.
    pub is_edge: bool,
}

impl ExitedProcess {
    fn new(process: &Process, status: ExitStatus) -> Self {
        let (name, lines) = (process.name(), process.last_lines());
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        };
        let is_edge = name == ENVOY;
        let rest = if is_edge { "" } else { "; the edge continues without it" };
        let log = process.log_file().display();
        let report = format!("{name} exited ({how}){rest}; its log {log} ends with:\n{lines}");
        Self { report, is_edge }
    }
}

/// The folder holds tokens, keys and the upstream's password.
fn create_private(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn start_topology(ports: &Ports, folder: &Path) -> Result<Process> {
    let config = folder.join("topology.toml").display().to_string();
    let listen = format!("127.0.0.1:{}", ports.topology);
    let grpc = format!("127.0.0.1:{}", ports.topology_grpc);
    let arguments = ["serve", "--config", &config, "--listen", &listen, "--grpc-listen", &grpc];
    Process::start("topology", &program::own("topology")?, &arguments, folder)
}

async fn start_origin(name: &str, port: u16, folder: &Path) -> Result<Process> {
    let config = config::origin_file(folder, name).display().to_string();
    let arguments = ["serve", "--config", &config];
    let mut origin = Process::start(name, &program::own("origin")?, &arguments, folder)?;
    origin.wait_until_ready(&format!("http://127.0.0.1:{port}/-/readiness")).await?;
    Ok(origin)
}

fn registry_home(folder: &Path, cell: usize) -> PathBuf {
    folder.join(format!("cell-{cell}/registry"))
}

/// The registry accepts only tokens of its own Cell's origin.
async fn start_registry(cell: usize, port: u16, ports: &Ports, folder: &Path) -> Result<Process> {
    let home = registry_home(folder, cell);
    create_private(&home)?;
    let certificate = home.join("certificate.pem");
    fs::write(&certificate, seed::run(folder, cell, &["registry-certificate"])?)?;
    let auth = TokenAuth {
        realm: format!("http://127.0.0.1:{}/jwt/auth", ports.edge),
        issuer: format!("cell-{cell}"),
        certificate,
    };
    let name = format!("registry-{cell}");
    distribution::serve(&name, &home, folder, port, Some(&auth)).await
}

fn start_envoy(folder: &Path) -> Result<Process> {
    let config = folder.join("envoy.yaml").display().to_string();
    // Two Envoys on one machine would otherwise share memory for hot restarts.
    let arguments = ["--config-path", &config, "--disable-hot-restart", "--concurrency", "2"];
    let arguments = [&arguments[..], &["--log-level", "info"]].concat();
    Process::start(ENVOY, &program::envoy()?, &arguments, folder)
}
