//! The addresses that an upstream may send us to. Its realms and redirects are untrusted input: a realm
//! could collect our credentials, and a redirect could make this process read what only its own network
//! can reach (server-side request forgery).
//!
//! A URL is checked when it is received, and a host name's addresses each time it is resolved, so that
//! a name cannot change to a private address after the check (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::UpstreamError;
use crate::config;

mod address;

/// The addresses that one registry may point to.
#[derive(Debug)]
pub(super) struct Guard {
    registry: Url,
    allowed_hosts: Vec<String>,
    private_allowed: bool,
    allowed_networks: Vec<IpNet>,
}

impl Guard {
    pub(super) fn new(registry: &config::Registry, networks: &config::Networks) -> Self {
        let own = host_address(&registry.url);
        Self {
            registry: registry.url.clone(),
            allowed_hosts: registry.allowed_hosts.clone(),
            // An operator who configures a private registry allows private networks by that.
            private_allowed: networks.allow_private || is_named_private(&registry.url),
            // The configured address is always allowed, even if it looks like a metadata service.
            allowed_networks: networks
                .allowed
                .iter()
                .copied()
                .chain(own.map(IpNet::from))
                .collect(),
        }
    }

    /// Checks a token endpoint. As it gets our credentials, its host must be in the upstream's own domain
    /// or in `allowed_hosts`.
    pub(super) fn realm(&self, realm: &str) -> Result<Url, UpstreamError> {
        let url = Url::parse(realm).map_err(|_| veto("the realm is not a URL"))?;
        self.vet(&self.registry, &url)?;
        let host = url.host_str().unwrap_or_default();
        if self.is_own_domain(&url) || self.is_allowed_by_name(host) {
            return Ok(url);
        }
        Err(veto(&format!(
            "the realm's host {host} is not in the upstream's domain; see allowed_hosts"
        )))
    }

    /// Resolves and checks a redirect's target. As it gets no credentials, any public host is allowed.
    pub(super) fn redirect(&self, from: &Url, location: &str) -> Result<Url, UpstreamError> {
        let to = from.join(location).map_err(|_| veto("the redirect is not a URL"))?;
        self.vet(from, &to)?;
        Ok(to)
    }

    fn vet(&self, from: &Url, to: &Url) -> Result<(), UpstreamError> {
        match (from.scheme(), to.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") => return Err(veto("it downgrades from https to http")),
            _ => return Err(veto("it is neither http nor https")),
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(veto("it contains a user name or password"));
        }
        let named = self.is_allowed_by_name(to.host_str().unwrap_or_default());
        match host_address(to) {
            _ if to.host().is_none() => Err(veto("it has no host")),
            Some(address) if !named && !self.may_reach(address) => {
                Err(veto("it is a private address; see allowed_networks"))
            }
            None if !named && !self.private_allowed && is_named_private(to) => {
                Err(veto("it is a name of this machine; see allow_private_networks"))
            }
            _ => Ok(()),
        }
    }

    fn is_own_domain(&self, url: &Url) -> bool {
        if url.host() == self.registry.host() {
            return true;
        }
        match (url.host(), self.registry.host()) {
            (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
                registrable(a).is_some_and(|domain| registrable(b) == Some(domain))
                    || (is_localhost(a) && is_localhost(b))
            }
            _ => is_loopback(url) && is_loopback(&self.registry),
        }
    }

    fn is_allowed_by_name(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// Whether a host name may resolve to this address. The registry's own name and allowed hosts may be
    /// in a private network. Only `allowed_networks` opens a metadata service, which hands out a
    /// machine's credentials to any caller.
    fn may_resolve_to(&self, host: &str, address: IpAddr) -> bool {
        let own = self.registry.host_str().is_some_and(|own| own.eq_ignore_ascii_case(host));
        let trusted = own || self.is_allowed_by_name(host);
        self.may_reach(address) || (trusted && !address::is_metadata(address))
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        let inner = address::inner(address).map(IpAddr::V4);
        let listed = self.allowed_networks.iter().any(|network| {
            [Some(address), inner].iter().flatten().any(|one| network.contains(one))
        });
        listed
            || address::is_public(address)
            || (self.private_allowed && !address::is_metadata(address))
    }
}

/// A DNS resolver that drops the addresses which the guard does not allow for a name.
#[derive(Debug)]
pub(super) struct VettedDns(pub(super) Arc<Guard>);

impl Resolve for VettedDns {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let vetted: Vec<_> =
                found.filter(|found| guard.may_resolve_to(name.as_str(), found.ip())).collect();
            if vetted.is_empty() {
                return Err("the host name resolves only to disallowed addresses".into());
            }
            Ok(Box::new(vetted.into_iter()) as Addrs)
        })
    }
}

fn veto(why: &str) -> UpstreamError {
    UpstreamError::Vetoed(why.to_owned())
}

/// Returns the registrable domain: `docker.io` for `auth.docker.io`, but nothing for `github.io`.
fn registrable(host: &str) -> Option<&str> {
    psl::domain_str(host.trim_end_matches('.'))
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn is_loopback(url: &Url) -> bool {
    match host_address(url) {
        Some(address) => address.is_loopback(),
        None => is_named_private(url),
    }
}

fn is_named_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        _ => host_address(url).is_some_and(|address| !address::is_public(address)),
    }
}

fn host_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

#[cfg(test)]
mod tests;
