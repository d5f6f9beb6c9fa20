//! Finds the upstream of an image, and the image's canonical name in database rows.
//!
//! `quay.io/org/app`, `org/app` with `ns=quay.io`, and both together name one image. A first component
//! that looks like a host never belongs to a repository of the default upstream: otherwise an upstream
//! that is configured later under this name would take over the cached rows.

use oci::RepositoryName;

use crate::config::{self, ShortNames, is_host_like};

/// The names of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamNames {
    name: String,
    aliases: Vec<String>,
    /// Whether a name of one component means `library/…`.
    has_library: bool,
}

/// An image's upstream and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The upstream's position; 0 is the default.
    pub(super) upstream: usize,
    /// The image's name at the upstream.
    pub(super) repository: RepositoryName,
    /// The image's canonical name in rows.
    pub(super) name: RepositoryName,
}

/// The reason why an image belongs to no configured upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownUpstream {
    /// No upstream has this name.
    #[error("no upstream registry {requested} is configured; available: {available}")]
    NotConfigured {
        /// The requested name, quoted.
        requested: String,
        /// The names of all upstreams.
        available: String,
    },
    /// The image's name and the query parameter `ns` contradict each other.
    #[error(
        "the image's name requests the upstream registry `{prefix}`, the parameter ns {namespace}"
    )]
    Contradiction {
        /// The first component of the image's name.
        prefix: String,
        /// The value of `ns`, quoted.
        namespace: String,
    },
    /// The upstream is known, but can have no repository of this name.
    #[error("`{0}` is not a repository name of its upstream registry")]
    NoRepository(RepositoryName),
}

impl From<&config::Upstream> for UpstreamNames {
    fn from(upstream: &config::Upstream) -> Self {
        Self {
            name: upstream.name.clone(),
            aliases: upstream.aliases.clone(),
            has_library: upstream.short_names == ShortNames::Library,
        }
    }
}

/// Finds an image's upstream. The first of `known` is the default.
pub(super) fn route(
    known: &[UpstreamNames],
    image: &RepositoryName,
    namespace: Option<&str>,
) -> Result<Route, UnknownUpstream> {
    let unknown =
        |requested| UnknownUpstream::NotConfigured { requested, available: available(known) };
    let prefixed = match image.as_str().split_once('/') {
        Some((first, rest)) if is_host_like(first) => {
            let index = find(known, first).ok_or_else(|| unknown(format!("`{first}`")))?;
            Some((index, first, rest))
        }
        _ => None,
    };
    let chosen = match namespace {
        Some(namespace) => Some(find(known, namespace).ok_or_else(|| unknown(quoted(namespace)))?),
        None => None,
    };
    let (upstream, repository) = match (chosen, prefixed) {
        (Some(chosen), Some((index, prefix, _))) if chosen != index => {
            let namespace = namespace.map(quoted).unwrap_or_default();
            return Err(UnknownUpstream::Contradiction { prefix: prefix.to_owned(), namespace });
        }
        (_, Some((index, _, rest))) => (index, rest.parse().ok()),
        (chosen, None) => (chosen.unwrap_or(0), Some(image.clone())),
    };
    let found = known.get(upstream).zip(repository);
    let named = found.and_then(|(names, repository)| {
        Some((canonical(names, &repository, upstream == 0)?, repository))
    });
    let (name, repository) = named.ok_or_else(|| UnknownUpstream::NoRepository(image.clone()))?;
    Ok(Route { upstream, repository, name })
}

/// Returns the name of a repository in rows: without the upstream's name for the default upstream, and
/// without `library/` where that is implied.
fn canonical(
    names: &UpstreamNames,
    repository: &RepositoryName,
    is_default: bool,
) -> Option<RepositoryName> {
    let full = repository.as_str();
    let short = match full.split_once('/') {
        Some(("library", rest)) if names.has_library && !rest.contains('/') => rest,
        _ => full,
    };
    let is_plain = !short.split_once('/').is_some_and(|(first, _)| is_host_like(first));
    if is_default && is_plain {
        return short.parse().ok();
    }
    is_host_like(&names.name).then(|| format!("{}/{short}", names.name).parse().ok()).flatten()
}

/// Names take precedence over aliases.
fn find(known: &[UpstreamNames], requested: &str) -> Option<usize> {
    let by_name = known.iter().position(|names| names.name.eq_ignore_ascii_case(requested));
    by_name.or_else(|| {
        let is_requested = |alias: &String| alias.eq_ignore_ascii_case(requested);
        known.iter().position(|names| names.aliases.iter().any(is_requested))
    })
}

fn available(known: &[UpstreamNames]) -> String {
    let names: Vec<_> = known.iter().map(|names| names.name.as_str()).collect();
    names.join(", ")
}

/// Quotes a namespace for an error text, which is logged: anything that cannot be a host is left out,
/// as it may be a credential.
fn quoted(namespace: &str) -> String {
    let in_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if namespace.len() <= 100 && namespace.chars().all(in_host) {
        format!("`{namespace}`")
    } else {
        "(hidden)".to_owned()
    }
}

#[cfg(test)]
mod tests;
