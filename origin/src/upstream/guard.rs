//! Where an upstream may send us. Its realms and redirects are hostile input: they could collect
//! our credentials, or make this process read what only this network can reach (SSRF).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::UpstreamError;
use crate::config;

mod address;

/// What one registry may point to.
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
            // Whoever names a private registry has allowed that network already.
            private_allowed: networks.allow_private || is_named_private(&registry.url),
            // And its own address, be it the metadata service's.
            allowed_networks: networks
                .allowed
                .iter()
                .copied()
                .chain(own.map(IpNet::from))
                .collect(),
        }
    }

    /// A token endpoint, which gets our credentials: the upstream's own domain, or allowed by name.
    pub(super) fn realm(&self, realm: &str) -> Result<Url, UpstreamError> {
        let url = Url::parse(realm).map_err(|_| veto("a realm that is no URL"))?;
        self.vet(&self.registry, &url)?;
        let host = url.host_str().unwrap_or_default();
        if self.is_own_domain(&url) || self.is_allowed_by_name(host) {
            return Ok(url);
        }
        Err(veto(&format!("the realm's host {host} is not the upstream's own; see allowed_hosts")))
    }

    /// Where a redirect leads; any public host, as it gets no credentials.
    pub(super) fn redirect(&self, from: &Url, location: &str) -> Result<Url, UpstreamError> {
        let to = from.join(location).map_err(|_| veto("a redirect that is no URL"))?;
        self.vet(from, &to)?;
        Ok(to)
    }

    fn vet(&self, from: &Url, to: &Url) -> Result<(), UpstreamError> {
        match (from.scheme(), to.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") => return Err(veto("it leads from https to http")),
            _ => return Err(veto("it is neither http nor https")),
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(veto("it carries a user name"));
        }
        let named = self.is_allowed_by_name(to.host_str().unwrap_or_default());
        match host_address(to) {
            _ if to.host().is_none() => Err(veto("it names no host")),
            Some(address) if !named && !self.may_reach(address) => {
                Err(veto("it is a private address; see allowed_networks"))
            }
            None if !named && !self.private_allowed && is_named_private(to) => {
                Err(veto("it is this machine; see allow_private_networks"))
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

    /// The registry's own name may be a private network's; nothing else than a list of networks may
    /// lead to a metadata service, which gives credentials to whoever asks.
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

/// Name resolution that drops addresses a public name has no business to have.
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
                return Err("the name resolves to private addresses only".into());
            }
            Ok(Box::new(vetted.into_iter()) as Addrs)
        })
    }
}

fn veto(why: &str) -> UpstreamError {
    UpstreamError::Vetoed(why.to_owned())
}

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
