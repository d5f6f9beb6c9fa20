//! What a stack is started with.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;

use super::Ports;

/// What a stack is started with; [`Settings::new`] has the usual.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub ports: Ports,
    /// Where all its state lives; made where missing.
    pub folder: PathBuf,
    /// The registry that is cached; Docker Hub where there is none.
    pub upstream: Option<String>,
    /// The Topology Service the edge asks; the stack's own where there is none.
    pub other_topology: Option<TopologyAddress>,
    /// How it is asked for a cell's registry.
    pub registry_design: RegistryDesign,
    /// What `cell-1` is made of where it has several origins.
    pub fleet: Option<Fleet>,
}

/// Several origins of one cell, and what they have in common.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The URL of their database.
    pub database: String,
    /// The lines of their `[store]`, but for the spool.
    pub store: String,
    /// Where those besides the first listen.
    pub further: Vec<u16>,
}

/// An origin of a cell.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) cell: usize,
    /// `origin-1` for the first of `cell-1`, then `origin-1-2`.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Settings {
    /// Docker Hub, its own Topology Service, and registries named in every answer.
    #[must_use]
    pub fn new(ports: Ports, folder: PathBuf) -> Self {
        let registry_design = RegistryDesign::Answer;
        Self { ports, folder, upstream: None, other_topology: None, registry_design, fleet: None }
    }

    /// On free ports, before this registry, with its state in `folder`.
    ///
    /// # Errors
    /// There are no free ports.
    pub fn before(upstream: String, folder: &Path) -> Result<Self> {
        let settings = Self::new(Ports::free()?, folder.join("state"));
        Ok(Self { upstream: Some(upstream), ..settings })
    }

    /// All origins of both cells.
    pub(super) fn origins(&self) -> Vec<Origin> {
        let [first, second] = self.ports.origins;
        let further = self.fleet.iter().flat_map(|fleet| &fleet.further);
        let further = (2..).zip(further).map(|(n, port)| (1, format!("origin-1-{n}"), *port));
        let firsts = [(1, "origin-1".to_owned(), first), (2, "origin-2".to_owned(), second)];
        let all = firsts.into_iter().chain(further);
        all.map(|(cell, name, port)| Origin { cell, name, port }).collect()
    }

    /// The Topology Service the edge asks.
    #[must_use]
    pub fn topology(&self) -> TopologyAddress {
        let own = || TopologyAddress { host: "127.0.0.1".into(), port: self.ports.topology };
        self.other_topology.clone().unwrap_or_else(own)
    }
}

/// Where a Topology Service's REST API listens, as `http://127.0.0.1:9096`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyAddress {
    host: String,
    port: u16,
}

impl TopologyAddress {
    /// A name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` it is asked with.
    #[must_use]
    pub fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for TopologyAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "it must be http://HOST:PORT and no more";
        let url: Url = text.parse().context(FORM)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        ensure!(url.scheme() == "http" && bare && nobody, FORM);
        let host = url.host_str().context(FORM)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port_or_known_default().context(FORM)? })
    }
}

/// Where the Topology Service names a cell's registry (the filter's `registryDesign`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryDesign {
    /// In every answer, beside the cell's address.
    Answer,
    /// In the answer to a request that asks for registries (Cells ADR 017).
    Request,
}

impl RegistryDesign {
    /// As the filter's configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Request => "request",
        }
    }
}

impl FromStr for RegistryDesign {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "answer" => Ok(Self::Answer),
            "request" => Ok(Self::Request),
            _ => bail!("it must be `answer` or `request`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_topology_service_is_a_host_and_a_port() {
        for (url, host, port, authority) in [
            ("http://127.0.0.1:7777", "127.0.0.1", 7777, "127.0.0.1:7777"),
            ("http://topology.example/", "topology.example", 80, "topology.example:80"),
            ("http://[::1]:7777", "::1", 7777, "[::1]:7777"),
        ] {
            let address: TopologyAddress = url.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{url}");
            assert_eq!(address.authority(), authority);
        }
    }

    #[test]
    fn what_could_not_be_asked_is_refused() {
        for url in [
            "",
            "127.0.0.1:7777",
            "https://127.0.0.1:7777",
            "http://127.0.0.1:77777",
            "http://user:secret@127.0.0.1:7777",
            "http://127.0.0.1:7777/v1/classify",
        ] {
            assert!(url.parse::<TopologyAddress>().is_err(), "{url}");
        }
        assert!("both".parse::<RegistryDesign>().is_err());
    }
}
