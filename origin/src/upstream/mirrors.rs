//! One upstream: its registry, and the mirrors that are tried before it.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Endpoint, RepositoryName};
use reqwest::Response;
use tracing::info;

use super::auth::Tokens;
use super::error::{FailureClass, UpstreamError};
use super::rate_limit::Quota;
use super::registry::Registry;
use super::request::RegistryRequest;
use crate::config::{self, ShortNames};
use crate::metrics::{Metrics, RegistryLabel};

/// How long the mirrors are skipped for a blob that one of them sent corrupted.
const DISTRUST: Duration = Duration::from_secs(10 * 60);

/// A registry with its mirrors.
#[derive(Debug)]
pub(super) struct Upstream {
    /// With the passwords as read, so that a changed password file is a changed configuration.
    config: config::Upstream,
    /// In the order in which they are tried.
    mirrors: Vec<Registry>,
    registry: Registry,
    /// The candidate repository that last served an image, see [`Upstream::candidates`].
    repositories: moka::sync::Cache<RepositoryName, RepositoryName>,
    /// The blobs for which the mirrors are skipped.
    distrusted: moka::sync::Cache<Digest, ()>,
}

impl Upstream {
    /// Sets up the HTTP clients; nothing connects yet.
    pub(super) fn new(
        config: config::Upstream,
        tokens: &Tokens,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let registry = |host| Registry::new(host, &config, tokens, metrics);
        Ok(Self {
            mirrors: config.mirrors.iter().map(registry).collect::<anyhow::Result<_>>()?,
            registry: registry(&config.registry)?,
            config,
            repositories: moka::sync::Cache::new(10_000),
            distrusted: moka::sync::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(DISTRUST)
                .build(),
        })
    }

    pub(super) fn is_configured_by(&self, config: &config::Upstream) -> bool {
        self.config == *config
    }

    pub(super) fn read_timeout(&self) -> Duration {
        self.config.read_timeout
    }

    /// Returns the rate limit that the registry last reported; those of mirrors do not count.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.registry.quota()
    }

    /// Skips the mirrors for this blob for a while.
    pub(super) fn distrust_mirrors(&self, digest: &Digest) {
        self.distrusted.insert(digest.clone(), ());
    }

    /// Sends a request to the mirrors in turn, then to the registry.
    pub(super) async fn send(
        &self,
        request: RegistryRequest<'_>,
    ) -> Result<Response, UpstreamError> {
        self.first_success(request.endpoint, |registry| self.send_to(registry, request)).await
    }

    /// Tries the mirrors in turn, then the registry, whose error is final.
    pub(super) async fn first_success<'u, T, F>(
        &'u self,
        endpoint: &Endpoint,
        attempt: impl Fn(&'u Registry) -> F,
    ) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let skip =
            matches!(endpoint, Endpoint::Blob(digest) if self.distrusted.contains_key(digest));
        for mirror in self.mirrors.iter().filter(|_| !skip) {
            match attempt(mirror).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    let RegistryLabel { upstream, host } = mirror.label();
                    info!(%upstream, %host, %error, "mirror failed; trying the next host");
                }
            }
        }
        attempt(&self.registry).await
    }

    /// Sends a request to one host, for each candidate repository of the image in turn.
    pub(super) async fn send_to(
        &self,
        registry: &Registry,
        request: RegistryRequest<'_>,
    ) -> Result<Response, UpstreamError> {
        let image = request.repository;
        let (first, second) = self.candidates(image);
        let outcome = registry.send(RegistryRequest { repository: &first, ..request }).await;
        let (repository, outcome) = match (outcome, second) {
            // An outage says nothing about the first candidate, so the second may not replace it.
            (Err(error), Some(second)) if error.class() != FailureClass::Outage => {
                let request = RegistryRequest { repository: &second, ..request };
                let outcome = registry.send(request).await;
                (second, outcome)
            }
            (outcome, _) => (first, outcome),
        };
        if outcome.is_ok() {
            self.repositories.insert(image.clone(), repository);
        }
        outcome
    }

    /// Returns the repositories that a short name may mean, the one that last responded first.
    fn candidates(&self, image: &RepositoryName) -> (RepositoryName, Option<RepositoryName>) {
        let is_short = image.components().nth(1).is_none();
        let library = || format!("library/{image}").parse().ok();
        let library: Option<RepositoryName> = match self.config.short_names {
            ShortNames::Library | ShortNames::LibraryFirst if is_short => library(),
            _ => None,
        };
        match library {
            None => (image.clone(), None),
            Some(library) if self.config.short_names == ShortNames::Library => (library, None),
            Some(library) if self.repositories.get(image).as_ref() == Some(image) => {
                (image.clone(), Some(library))
            }
            Some(library) => (library, Some(image.clone())),
        }
    }
}
