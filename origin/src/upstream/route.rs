//! Which upstream an image comes from, and by which name rows know it.
//!
//! `quay.io/org/app`, `org/app` with `ns=quay.io`, and both at once are one image. A first part that
//! looks like a host is never a plain repository, or a later upstream of that name would take over
//! what is cached under it.

use oci::RepositoryName;

use crate::config::{self, ShortNames, is_host_like};

/// Who an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    name: String,
    aliases: Vec<String>,
    library: bool,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The upstream's position; 0 is the default.
    pub(super) upstream: usize,
    /// The image's name there.
    pub(super) repository: RepositoryName,
    /// What rows know it by.
    pub(super) name: RepositoryName,
}

/// An image of an upstream that is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no upstream registry {asked} here; there is {offered}")]
pub struct UnknownUpstream {
    asked: String,
    offered: String,
}

impl UnknownUpstream {
    /// There is none at all.
    pub(super) fn nowhere() -> Self {
        Self { asked: "at all".to_owned(), offered: "none".to_owned() }
    }
}

impl From<&config::Upstream> for Names {
    fn from(upstream: &config::Upstream) -> Self {
        Self {
            name: upstream.name.clone(),
            aliases: upstream.aliases.clone(),
            library: upstream.short_names == ShortNames::Library,
        }
    }
}

/// Finds an image's upstream; `known` begins with the default.
pub(super) fn route(
    known: &[Names],
    image: &RepositoryName,
    namespace: Option<&str>,
) -> Result<Route, UnknownUpstream> {
    let unknown = |asked: String| UnknownUpstream { asked, offered: offered(known) };
    let prefixed = match image.as_str().split_once('/') {
        Some((first, rest)) if is_host_like(first) => {
            let index = find(known, first).ok_or_else(|| unknown(format!("`{first}`")))?;
            Some((index, first, rest))
        }
        _ => None,
    };
    let chosen = match namespace {
        Some(namespace) => Some(find(known, namespace).ok_or_else(|| unknown(shown(namespace)))?),
        None => None,
    };
    let (upstream, repository) = match (chosen, prefixed) {
        (Some(chosen), Some((index, first, _))) if chosen != index => {
            let namespace = namespace.map(shown).unwrap_or_default();
            return Err(unknown(format!("that is both `{first}` and {namespace}")));
        }
        (_, Some((index, _, rest))) => (index, rest.parse().ok()),
        (chosen, None) => (chosen.unwrap_or(0), Some(image.clone())),
    };
    let found = known.get(upstream).zip(repository);
    let named = found.and_then(|(names, repository)| {
        Some((canonical(names, &repository, upstream == 0)?, repository))
    });
    let (name, repository) = named.ok_or_else(|| unknown(format!("for `{image}`")))?;
    Ok(Route { upstream, repository, name })
}

/// The one name of a repository in rows.
fn canonical(names: &Names, repository: &RepositoryName, default: bool) -> Option<RepositoryName> {
    let full = repository.as_str();
    let short = match full.split_once('/') {
        Some(("library", rest)) if names.library && !rest.contains('/') => rest,
        _ => full,
    };
    let plain = !short.split_once('/').is_some_and(|(first, _)| is_host_like(first));
    if default && plain {
        return short.parse().ok();
    }
    is_host_like(&names.name).then(|| format!("{}/{short}", names.name).parse().ok()).flatten()
}

fn find(known: &[Names], asked: &str) -> Option<usize> {
    let by_name = known.iter().position(|names| names.name.eq_ignore_ascii_case(asked));
    by_name.or_else(|| {
        let is_it = |alias: &String| alias.eq_ignore_ascii_case(asked);
        known.iter().position(|names| names.aliases.iter().any(is_it))
    })
}

fn offered(known: &[Names]) -> String {
    let names: Vec<_> = known.iter().map(|names| names.name.as_str()).collect();
    names.join(", ")
}

/// What was asked for comes from a query, and is told only where it could be a host.
fn shown(namespace: &str) -> String {
    let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if namespace.len() <= 100 && namespace.chars().all(host) {
        format!("`{namespace}`")
    } else {
        "of that ns".to_owned()
    }
}

#[cfg(test)]
mod tests;
