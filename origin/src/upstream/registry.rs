//! One host of an upstream: sends a request if its health allows, with credentials, through redirects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::{Challenge, RepositoryName};
use reqwest::header::{HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Response};
use url::Url;

use super::auth::{Authenticator, Tokens};
use super::error::{ProtocolError, UpstreamError};
use super::guard::Guard;
use super::headers;
use super::health::{Permit, UpstreamHealth};
use super::rate_limit::Quota;
use super::request::RegistryRequest;
use super::transport;
use crate::config;
use crate::metrics::{Metrics, RegistryLabel};

/// The most redirects of one request that are followed. Registries redirect a blob once, to a CDN.
const MAX_REDIRECTS: usize = 5;

/// One host of an upstream: the registry itself or a mirror.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    base: Url,
    /// The parameter `ns` for a mirror, as containerd sends it: the name of the mirrored registry.
    namespace: Option<String>,
    guard: Arc<Guard>,
    auth: Authenticator,
    health: Arc<UpstreamHealth>,
    label: RegistryLabel,
    metrics: Arc<Metrics>,
}

impl Registry {
    pub(super) fn new(
        config: &config::Registry,
        upstream: &config::Upstream,
        tokens: &Tokens,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let guard = Arc::new(Guard::new(config, &upstream.networks));
        let client = transport::client(upstream, Arc::clone(&guard))?;
        let host = config.url.authority();
        let label = RegistryLabel { upstream: upstream.name.as_str().into(), host: host.into() };
        let is_mirror = *config != upstream.registry;
        Ok(Self {
            auth: Authenticator::new(
                client.clone(),
                Arc::clone(&guard),
                config,
                tokens.clone(),
                upstream.read_timeout,
            ),
            client,
            base: config.url.clone(),
            namespace: is_mirror.then(|| upstream.name.clone()),
            guard,
            health: UpstreamHealth::new(upstream, label.clone(), Arc::clone(metrics)),
            label,
            metrics: Arc::clone(metrics),
        })
    }

    pub(super) fn label(&self) -> &RegistryLabel {
        &self.label
    }

    /// Returns the rate limit that this host last reported.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.health.quota()
    }

    /// Sends a request and counts its outcome.
    pub(super) async fn send(
        &self,
        request: RegistryRequest<'_>,
    ) -> Result<Response, UpstreamError> {
        let started = Instant::now();
        let result = self.send_if_healthy(request).await;
        let outcome = result.as_ref().map_or_else(UpstreamError::outcome, |_| "ok");
        let elapsed = started.elapsed();
        self.metrics.upstream_request(
            &self.label,
            request.kind(),
            request.method,
            outcome,
            elapsed,
        );
        result
    }

    async fn send_if_healthy(
        &self,
        request: RegistryRequest<'_>,
    ) -> Result<Response, UpstreamError> {
        let mut permit = self.health.acquire(request.is_download()).await?;
        let mut response = self.send_authorised(request, &mut permit).await?;
        // The slot stays taken until the response, body included, is dropped.
        response.extensions_mut().insert(permit.slot());
        Ok(response)
    }

    /// Sends with the credential that this repository needed last time, and once more if the registry
    /// challenges it.
    async fn send_authorised(
        &self,
        request: RegistryRequest<'_>,
        permit: &mut Permit,
    ) -> Result<Response, UpstreamError> {
        let credential = self.known_credential(request.repository).await?;
        let first = self.follow(request, credential.clone(), permit).await?;
        // A challenge by another host, at the end of a redirect, must not get our credentials.
        let is_own = first.url().origin() == self.base.origin();
        if first.status() != 401 || !is_own {
            return successful(first);
        }
        let challenge = challenge_of(&first).ok_or_else(|| UpstreamError::of(&first))?;
        let credential =
            self.auth.respond(request.repository, challenge, credential.as_ref()).await;
        match self.note_rate_limit(credential)? {
            Some(credential) => successful(self.follow(request, Some(credential), permit).await?),
            None => Err(UpstreamError::of(&first)),
        }
    }

    /// Returns the credential that this repository needed last time. If its token endpoint fails, the
    /// endpoint may have moved, so the request is sent without one to get a fresh challenge.
    async fn known_credential(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        match self.note_rate_limit(self.auth.known_credential(repository).await) {
            Err(error @ UpstreamError::Status { status: 429, .. }) => Err(error),
            Err(_) => {
                self.auth.forget(repository);
                Ok(None)
            }
            credential => credential,
        }
    }

    /// Pauses requests to the registry, too, if its token endpoint is rate limited.
    fn note_rate_limit<T>(&self, result: Result<T, UpstreamError>) -> Result<T, UpstreamError> {
        if let Err(UpstreamError::Status { status: 429, retry_after }) = &result {
            self.health.pause(Duration::from_secs(retry_after.unwrap_or_default()));
        }
        result
    }

    /// Sends a request and follows redirects. Only the registry's own response is reported to its
    /// health: a broken CDN says nothing about the registry.
    async fn follow(
        &self,
        request: RegistryRequest<'_>,
        mut credential: Option<HeaderValue>,
        permit: &mut Permit,
    ) -> Result<Response, UpstreamError> {
        let mut url = request.url(&self.base, self.namespace.as_deref());
        let first = self.visit(request, &url, credential.as_ref()).await;
        permit.report(&first);
        let mut response = first?;
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = redirect_of(&response) else { return Ok(response) };
            url = self.guard.redirect(&url, &location)?;
            // The credential is for the registry alone. It is dropped for good: a host in between must
            // not choose a path of the registry that is then requested with it.
            credential = credential.filter(|_| url.origin() == self.base.origin());
            response = self.visit(request, &url, credential.as_ref()).await?;
        }
        match redirect_of(&response) {
            None => Ok(response),
            Some(_) => Err(ProtocolError::TooManyRedirects.into()),
        }
    }

    async fn visit(
        &self,
        request: RegistryRequest<'_>,
        url: &Url,
        credential: Option<&HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        transport::send(request.build(&self.client, url, credential)).await
    }
}

fn successful(response: Response) -> Result<Response, UpstreamError> {
    if response.status().is_success() { Ok(response) } else { Err(UpstreamError::of(&response)) }
}

fn redirect_of(response: &Response) -> Option<String> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    redirects.then(|| headers::text(response.headers(), LOCATION.as_str())).flatten()
}

fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    let all: Vec<_> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
    Challenge::parse(&all.join(", "))
}
