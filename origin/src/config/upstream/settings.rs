//! The keys of an upstream section as written in TOML, and their validation.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use oci::RepositoryName;
use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::{Credential, Networks, Password, Registry, ShortNames, Upstream, is_host_like};
use crate::config::host_url::http_url;

/// Docker Hub's names: the canonical one, and those found in configurations.
const HUB: &str = "docker.io";
const HUB_ALIASES: [&str; 3] =
    ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    name: Option<String>,
    #[serde(deserialize_with = "some_http_url")]
    url: Option<Url>,
    short_names: Option<ShortNames>,
    username: Option<String>,
    password: Option<SecretString>,
    password_file: Option<PathBuf>,
    mirrors: Vec<Mirror>,
    allow_private_networks: bool,
    allowed_networks: Vec<IpNet>,
    allowed_hosts: Vec<String>,
    max_connections: usize,
    #[serde(with = "humantime_serde")]
    queue_timeout: Duration,
    #[serde(with = "humantime_serde")]
    connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    read_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            url: None,
            short_names: None,
            username: None,
            password: None,
            password_file: None,
            mirrors: Vec::new(),
            allow_private_networks: false,
            allowed_networks: Vec::new(),
            allowed_hosts: Vec::new(),
            max_connections: 64,
            queue_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// `"https://mirror.example"`, or a table with `url` and credentials.
struct Mirror(Registry);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorTable {
    #[serde(deserialize_with = "http_url")]
    url: Url,
    username: Option<String>,
    password: Option<SecretString>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    allowed_hosts: Vec<String>,
}

/// `[upstream]`, the default upstream.
impl TryFrom<Settings> for Upstream {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        settings.default_upstream().map_err(|error| format!("[upstream] {error:#}"))
    }
}

/// Deserialises the sections `[upstreams."NAME"]`.
pub(in crate::config) fn named<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Vec<Upstream>, D::Error> {
    let all = BTreeMap::<String, Settings>::deserialize(input)?;
    let built = all.into_iter().map(|(name, settings)| {
        let place = format!("[upstreams.\"{name}\"]");
        settings.named(name).context(place)
    });
    built.collect::<Result<_>>().map_err(|error| de::Error::custom(format!("{error:#}")))
}

pub(super) fn docker_hub() -> Upstream {
    #[expect(clippy::expect_used, reason = "the defaults are constant, and a test builds them")]
    Settings::default().try_into().expect("the default settings are valid")
}

impl Settings {
    fn default_upstream(mut self) -> Result<Upstream> {
        let url = match self.url.take() {
            Some(url) => url,
            None => Url::parse("https://registry-1.docker.io")?,
        };
        let name = match self.name.take() {
            Some(name) => checked(name).context("name")?,
            None => name_of(&url),
        };
        let short_names = self.short_names.unwrap_or(ShortNames::Library);
        self.build(name, url, short_names)
    }

    fn named(mut self, name: String) -> Result<Upstream> {
        let name = checked(name)?;
        anyhow::ensure!(
            self.name.is_none(),
            "name: not allowed here, as the table's name is the upstream's name"
        );
        let url = match self.url.take() {
            Some(url) => url,
            None if name == HUB => Url::parse("https://registry-1.docker.io")?,
            None => Url::parse(&format!("https://{name}"))?,
        };
        let usual = if name_of(&url) == HUB { ShortNames::Library } else { ShortNames::AsIs };
        let short_names = self.short_names.unwrap_or(usual);
        self.build(name, url, short_names)
    }

    fn build(self, name: String, url: Url, short_names: ShortNames) -> Result<Upstream> {
        anyhow::ensure!(self.max_connections >= 2, "max_connections: must be at least 2");
        let credential = credential(self.username, self.password, self.password_file)?;
        Ok(Upstream {
            aliases: aliases(&name, &url),
            name,
            short_names,
            registry: Registry { url, credential, allowed_hosts: self.allowed_hosts },
            mirrors: self.mirrors.into_iter().map(|Mirror(registry)| registry).collect(),
            networks: Networks {
                allow_private: self.allow_private_networks,
                allowed: self.allowed_networks,
            },
            max_connections: self.max_connections,
            queue_timeout: self.queue_timeout,
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
        })
    }
}

impl<'de> Deserialize<'de> for Mirror {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(MirrorVisitor)
    }
}

struct MirrorVisitor;

impl<'de> Visitor<'de> for MirrorVisitor {
    type Value = Mirror;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mirror's URL, or a table with url and credentials")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Mirror, E> {
        let url = http_url(de::value::StrDeserializer::<E>::new(text))?;
        Ok(Mirror(Registry { url, credential: None, allowed_hosts: Vec::new() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mirror, A::Error> {
        let table = MirrorTable::deserialize(MapAccessDeserializer::new(map))?;
        let credential = credential(table.username, table.password, table.password_file)
            .map_err(|error| de::Error::custom(format!("mirrors: {error:#}")))?;
        Ok(Mirror(Registry { url: table.url, credential, allowed_hosts: table.allowed_hosts }))
    }
}

fn credential(
    username: Option<String>,
    password: Option<SecretString>,
    file: Option<PathBuf>,
) -> Result<Option<Credential>> {
    let password = match (password, file) {
        (Some(_), Some(_)) => anyhow::bail!("password and password_file: set only one of them"),
        (Some(password), None) => Some(Password::Given(password)),
        (None, file) => file.map(Password::File),
    };
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Credential { username, password })),
        (None, None) => Ok(None),
        _ => anyhow::bail!("username and password (or password_file): set both or neither"),
    }
}

/// Checks an upstream's name: it must be one path component that no plain repository starts with.
fn checked(name: String) -> Result<String> {
    let one_part = name.parse::<RepositoryName>().is_ok() && !name.contains('/');
    anyhow::ensure!(
        one_part && is_host_like(&name),
        "`{name}` is not a valid upstream name; use a lower-case host name without a port, such as \
         quay.io, and set its address with the key url"
    );
    Ok(name)
}

fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let hub = HUB_ALIASES.contains(&host) || host == HUB;
    if hub { HUB.to_owned() } else { host.to_owned() }
}

/// Returns the other values of `ns=`: the URL's host, with and without port, and Docker Hub's names.
fn aliases(name: &str, url: &Url) -> Vec<String> {
    let host = url.host().as_ref().map(Host::to_string).unwrap_or_default();
    let with_port = url.port().map(|port| format!("{host}:{port}"));
    let hub = HUB_ALIASES.iter().map(|&alias| alias.to_owned()).filter(|_| name == HUB);
    hub.chain([host]).chain(with_port).filter(|alias| alias != name).collect()
}

fn some_http_url<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Url>, D::Error> {
    http_url(input).map(Some)
}
