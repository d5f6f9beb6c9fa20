//! The settings of a stack.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;

use super::Ports;

/// The settings of a stack; [`Settings::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ports.
    pub ports: Ports,
    /// The folder of all state; created if it is missing.
    pub folder: PathBuf,
    /// The registry to cache; Docker Hub if `None`.
    pub upstream: Option<String>,
    /// The Topology Service that the edge queries; the stack's own if `None`.
    pub other_topology: Option<TopologyAddress>,
    /// How the edge finds a Cell's registry.
    pub registry_design: RegistryDesign,
    /// The origins of `cell-1` if it has several.
    pub fleet: Option<Fleet>,
}

/// Several origins of one Cell, which share a database and a store.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The URL of the database.
    pub database: String,
    /// The lines of `[store]`, without the spool.
    pub store: String,
    /// The ports of the origins after the first.
    pub further: Vec<u16>,
}

/// An origin of a Cell.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) cell: usize,
    /// `origin-1` for the first origin of `cell-1`, then `origin-1-2`.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Settings {
    /// Docker Hub, the stack's own Topology Service, and registries in every classify response.
    #[must_use]
    pub fn new(ports: Ports, folder: PathBuf) -> Self {
        let registry_design = RegistryDesign::Answer;
        Self { ports, folder, upstream: None, other_topology: None, registry_design, fleet: None }
    }

    /// Free ports, this upstream, and the state below `folder`.
    ///
    /// # Errors
    /// No port is free.
    pub fn with_upstream(upstream: String, folder: &Path) -> Result<Self> {
        let settings = Self::new(Ports::free()?, folder.join("state"));
        Ok(Self { upstream: Some(upstream), ..settings })
    }

    /// All origins of both Cells.
    pub(super) fn origins(&self) -> Vec<Origin> {
        let [first, second] = self.ports.origins;
        let further = self.fleet.iter().flat_map(|fleet| &fleet.further);
        let further = (2..).zip(further).map(|(n, port)| (1, format!("origin-1-{n}"), *port));
        let firsts = [(1, "origin-1".to_owned(), first), (2, "origin-2".to_owned(), second)];
        let all = firsts.into_iter().chain(further);
        all.map(|(cell, name, port)| Origin { cell, name, port }).collect()
    }

    /// The Topology Service that the edge queries.
    #[must_use]
    pub fn topology(&self) -> TopologyAddress {
        let own = || TopologyAddress { host: "127.0.0.1".into(), port: self.ports.topology };
        self.other_topology.clone().unwrap_or_else(own)
    }
}

/// The address of a Topology Service's REST API, such as `http://127.0.0.1:9096`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyAddress {
    host: String,
    port: u16,
}

impl TopologyAddress {
    /// A host name or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` of requests to it.
    #[must_use]
    pub fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for TopologyAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "it must be http://HOST:PORT without a path";
        let url: Url = text.parse().context(FORM)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        ensure!(url.scheme() == "http" && bare && anonymous, FORM);
        let host = url.host_str().context(FORM)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port_or_known_default().context(FORM)? })
    }
}

/// How the Topology Service returns a Cell's registry (the filter's `registryDesign`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryDesign {
    /// In every response, beside the Cell's address.
    Answer,
    /// In the response to a request for registries (Cells ADR 017).
    Request,
}

impl RegistryDesign {
    /// The value in the filter's configuration.
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
    fn the_address_of_a_topology_service_is_a_host_and_a_port() {
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
    fn an_address_that_cannot_be_queried_is_refused() {
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
