//! One request to one registry: authorise, follow redirects by hand, answer a challenge once.

use std::sync::Arc;
use std::time::Instant;

use oci::media_type::ACCEPT_MANIFESTS;
use oci::{Challenge, Endpoint, RepositoryName};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use url::Url;

use super::auth::{Authenticator, Tokens};
use super::guard::{Guard, VettedDns};
use super::line::{Line, Pass};
use super::{UpstreamError, Wish};
use crate::config;
use crate::metrics::{Metrics, RegistryLabel};

/// Registries redirect blobs once, to a CDN; clients of ours would follow ten.
const MAX_REDIRECTS: usize = 5;

/// One host of an upstream: a mirror or the registry itself.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    base: Url,
    /// What a mirror is told to mirror, as containerd does.
    namespace: Option<String>,
    guard: Arc<Guard>,
    auth: Authenticator,
    line: Arc<Line>,
    label: RegistryLabel,
    metrics: Arc<Metrics>,
}

/// What is asked of a registry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) repository: &'a RepositoryName,
    pub(super) endpoint: &'a Endpoint,
    pub(super) wish: Wish<'a>,
}

impl Registry {
    pub(super) fn new(
        config: &config::Registry,
        upstream: &config::Upstream,
        tokens: &Tokens,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let guard = Arc::new(Guard::new(config, &upstream.networks));
        let client = Client::builder()
            .user_agent(concat!("dependency-proxy/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(upstream.connect_timeout)
            .read_timeout(upstream.read_timeout)
            .dns_resolver(Arc::new(VettedDns(Arc::clone(&guard))))
            .build()?;
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
            line: Line::new(upstream, label.clone(), Arc::clone(metrics)),
            label,
            metrics: Arc::clone(metrics),
        })
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.namespace.is_some()
    }

    pub(super) fn label(&self) -> &RegistryLabel {
        &self.label
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Sends, and counts what came of it. The answer keeps its place among the registry's requests
    /// until it is dropped.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Response, UpstreamError> {
        let long = matches!(ask.endpoint, Endpoint::Blob(_)) && *ask.method == Method::GET;
        let started = Instant::now();
        let outcome = match self.line.enter(long).await {
            Ok(mut pass) => self.exchange(ask, &mut pass).await.map(|mut response| {
                response.extensions_mut().insert(pass.place());
                response
            }),
            Err(error) => Err(error),
        };
        let word = outcome.as_ref().map_or_else(UpstreamError::outcome, |_| "ok");
        let kind = kind_of(ask.endpoint);
        self.metrics.upstream_request(&self.label, kind, ask.method, word, started.elapsed());
        outcome
    }

    async fn exchange(&self, ask: Ask<'_>, pass: &mut Pass) -> Result<Response, UpstreamError> {
        let credential = self.remembered(ask.repository).await?;
        let first = self.attempt(ask, credential.clone(), pass).await?;
        // Where a redirect led, nobody has a say in our logins.
        let own = first.url().origin() == self.base.origin();
        if first.status() != 401 || !own {
            return successful(first);
        }
        let challenge = challenge_of(&first).ok_or_else(|| UpstreamError::of(&first))?;
        let answer = self.auth.answer(ask.repository, challenge, credential.as_ref()).await;
        match self.logged_in(answer)? {
            Some(credential) => successful(self.attempt(ask, Some(credential), pass).await?),
            None => Err(UpstreamError::of(&first)),
        }
    }

    /// A token endpoint that fails may not be the one any more: the registry is asked anew.
    async fn remembered(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        match self.logged_in(self.auth.remembered(repository).await) {
            Err(UpstreamError::Status { status: 429, retry_after }) => {
                Err(UpstreamError::Status { status: 429, retry_after })
            }
            Err(_) => {
                self.auth.forget(repository);
                Ok(None)
            }
            credential => credential,
        }
    }

    /// A token endpoint that is rate limited stands for its registry.
    fn logged_in<T>(&self, outcome: Result<T, UpstreamError>) -> Result<T, UpstreamError> {
        if let Err(UpstreamError::Status { status: 429, retry_after }) = &outcome {
            let value = retry_after.as_ref().and_then(|after| HeaderValue::from_str(after).ok());
            let header = value.map(|value| (reqwest::header::RETRY_AFTER, value));
            self.line.cool_down(&header.into_iter().collect());
        }
        outcome
    }

    async fn attempt(
        &self,
        ask: Ask<'_>,
        mut credential: Option<HeaderValue>,
        pass: &mut Pass,
    ) -> Result<Response, UpstreamError> {
        let mut url = self.url(ask)?;
        let first = self.visit(ask, &url, credential.as_ref()).await;
        pass.report(&first);
        let mut response = first?;
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = next_stop(&response) else { return Ok(response) };
            url = self.guard.redirect(&url, &location)?;
            // What authorises us at the registry is nobody else's, a CDN's the least; and whoever
            // was in between does not choose where it is sent.
            credential = credential.filter(|_| url.origin() == self.base.origin());
            response = self.visit(ask, &url, credential.as_ref()).await?;
        }
        match next_stop(&response) {
            None => Ok(response),
            Some(_) => Err(UpstreamError::Protocol("redirects without an end")),
        }
    }

    fn url(&self, ask: Ask<'_>) -> Result<Url, UpstreamError> {
        let path = format!("/v2/{}/{}", ask.repository, ask.endpoint);
        let joined = self.base.join(&path);
        let mut url = joined.map_err(|_| UpstreamError::Protocol("a name that fits no URL"))?;
        url.set_query(Some(ask.wish.query).filter(|query| !query.is_empty()));
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    async fn visit(
        &self,
        ask: Ask<'_>,
        url: &Url,
        credential: Option<&HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        let mut request = self.client.request(ask.method.clone(), url.clone());
        // A digest is of the bytes as they are stored, so nobody may pack them for the way.
        request = request.header(ACCEPT_ENCODING, "identity");
        let all = matches!(ask.endpoint, Endpoint::Manifest(_)).then_some(ACCEPT_MANIFESTS);
        if let Some(accept) = ask.wish.accept.or(all) {
            request = request.header(ACCEPT, accept);
        }
        if ask.wish.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.wish.from));
        }
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential.clone());
        }
        send(request).await
    }
}

/// Sends once more where nothing of an answer came: a kept connection may have been closed meanwhile.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, UpstreamError> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if was_closed(&error) => Ok(again.send().await?),
        (sent, _) => Ok(sent?),
    }
}

fn was_closed(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

fn kind_of(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Manifest(_) => "manifest",
        Endpoint::Blob(_) => "blob",
        Endpoint::Tags => "tags",
        Endpoint::Referrers(_) => "referrers",
    }
}

fn successful(response: Response) -> Result<Response, UpstreamError> {
    if response.status().is_success() { Ok(response) } else { Err(UpstreamError::of(&response)) }
}

fn next_stop(response: &Response) -> Option<String> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    moved.then(|| super::text(response.headers(), LOCATION.as_str())).flatten()
}

fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    let all: Vec<_> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
    Challenge::parse(&all.join(", "))
}
