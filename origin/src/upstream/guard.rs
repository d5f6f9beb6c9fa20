//! Where an upstream may send us. Its realms and redirects are hostile input: they could collect
//! our credentials, or make this process read what only this network can reach (SSRF).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::UpstreamError;
use crate::config;

/// What one upstream may point to.
#[derive(Debug)]
pub(super) struct Guard {
    upstream: Url,
    allowed_hosts: Vec<String>,
    private_allowed: bool,
}

impl Guard {
    pub(super) fn new(config: &config::Upstream) -> Self {
        // Whoever names a private registry has allowed that network already.
        let private_allowed = config.allow_private_networks || is_private_host(&config.url);
        Self {
            upstream: config.url.clone(),
            allowed_hosts: config.allowed_hosts.clone(),
            private_allowed,
        }
    }

    /// A token endpoint, which gets our credentials: the upstream's own domain, or allowed by name.
    pub(super) fn realm(&self, realm: &str) -> Result<Url, UpstreamError> {
        let url = Url::parse(realm).map_err(|_| veto("a realm that is no URL"))?;
        self.vet(&self.upstream, &url)?;
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
        if !self.private_allowed && is_private_host(to) {
            return Err(veto("it is a private address"));
        }
        Ok(())
    }

    fn is_own_domain(&self, url: &Url) -> bool {
        if url.host() == self.upstream.host() {
            return true;
        }
        match (url.host(), self.upstream.host()) {
            (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
                registrable(a).is_some_and(|domain| registrable(b) == Some(domain))
                    || (is_localhost(a) && is_localhost(b))
            }
            _ => is_loopback(url) && is_loopback(&self.upstream),
        }
    }

    fn is_allowed_by_name(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn may_resolve_to(&self, host: &str, address: IpAddr) -> bool {
        let own = self.upstream.host_str().is_some_and(|own| own.eq_ignore_ascii_case(host));
        self.private_allowed || own || self.is_allowed_by_name(host) || !is_private(address)
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
    host.eq_ignore_ascii_case("localhost")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_private_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => is_private(address.into()),
        Some(Host::Ipv6(address)) => is_private(address.into()),
        None => true,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) if !v6.is_loopback() && !v6.is_unspecified() => is_private_v4(v4),
            _ => is_private_v6(v6),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let carrier_nat = a == 100 && (64..128).contains(&b);
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || carrier_nat
        || a == 0
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests;
