//! The upstreams there are, and an image at one of them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oci::{Digest, Page, Reference, RepositoryName};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::auth::Tokens;
use super::route::{self, Names, Route};
use super::{
    BlobBody, FetchedManifest, ManifestHead, Quota, TagPage, UnknownUpstream, Upstream,
    UpstreamError,
};
use crate::config::{self, Config};
use crate::metrics::Metrics;

/// The registry the content is known by (OCI distribution spec, "Registry Proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// The registries that are cached; replaced as a whole when the configuration changes.
#[derive(Debug)]
pub struct Upstreams {
    shared: Shared,
    now: ArcSwap<Directory>,
}

/// What outlives a change of the configuration.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tokens: Tokens,
    pub(super) metrics: Arc<Metrics>,
}

/// Begins with the default.
#[derive(Debug, Default)]
struct Directory {
    names: Vec<Names>,
    upstreams: Vec<Arc<Upstream>>,
}

impl Upstreams {
    /// Clients that have not connected yet.
    ///
    /// # Errors
    /// A password file cannot be read, or the TLS library cannot be set up.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let shared = Shared { tokens: Tokens::new(Arc::clone(&metrics)), metrics };
        let directory = Directory::new(config, &shared, &Directory::default())?;
        Ok(Self { shared, now: ArcSwap::from_pointee(directory) })
    }

    /// Takes over the upstreams of another configuration. One that is as it was keeps what it knows;
    /// requests under way end as they began.
    ///
    /// # Errors
    /// As [`Upstreams::new`]; nothing has changed then.
    pub fn replace(&self, config: &Config) -> anyhow::Result<()> {
        let directory = Directory::new(config, &self.shared, &self.now.load())?;
        self.now.store(Arc::new(directory));
        Ok(())
    }

    /// The image a client means, by its name and the `ns` of the query.
    ///
    /// # Errors
    /// It is of a registry that is not offered.
    pub fn image(
        &self,
        image: &RepositoryName,
        namespace: Option<&str>,
    ) -> Result<Image, UnknownUpstream> {
        let now = self.now.load();
        let Route { upstream, repository, name } = route::route(&now.names, image, namespace)?;
        // The route is of the same directory, so the position is there.
        let upstream = now.upstreams.get(upstream).or(now.upstreams.first()).cloned();
        let upstream = upstream.ok_or_else(UnknownUpstream::nowhere)?;
        Ok(Image { upstream, repository, name, namespace: namespace.map(str::to_owned) })
    }
}

impl Directory {
    fn new(config: &Config, shared: &Shared, before: &Self) -> anyhow::Result<Self> {
        let mut directory = Self::default();
        for upstream in std::iter::once(&config.upstream).chain(&config.upstreams) {
            let read: config::Upstream = upstream.with_passwords()?;
            directory.names.push(Names::from(&read));
            let same = before.upstreams.iter().find(|upstream| upstream.config == read).cloned();
            directory.upstreams.push(match same {
                Some(upstream) => upstream,
                None => Arc::new(Upstream::new(read, shared)?),
            });
        }
        Ok(directory)
    }
}

/// An image at its upstream.
#[derive(Debug, Clone)]
pub struct Image {
    upstream: Arc<Upstream>,
    repository: RepositoryName,
    name: RepositoryName,
    namespace: Option<String>,
}

impl Image {
    /// What rows know it by: the same however a client spelled it.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Tells a client which registry it was answered for, where it asked by `ns`.
    pub fn add_namespace(&self, headers: &mut HeaderMap) {
        let value = self.namespace.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(value)) = value {
            headers.insert(NAMESPACE, value);
        }
    }

    /// Tells a client what the registry said last about its rate limit, in Docker Hub's form.
    pub fn add_rate_limit(&self, headers: &mut HeaderMap) {
        let Some(Quota { limit, remaining, window, .. }) = self.upstream.quota() else { return };
        let window = window.map(|window| format!(";w={window}")).unwrap_or_default();
        for (name, value) in [(LIMIT, limit), (REMAINING, remaining)] {
            let value = value.map(|value| HeaderValue::try_from(format!("{value}{window}")));
            if let Some(Ok(value)) = value {
                headers.insert(name, value);
            }
        }
    }

    /// See [`Upstream::head_manifest`].
    ///
    /// # Errors
    /// Any failure to get a usable answer.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<ManifestHead, UpstreamError> {
        self.upstream.head_manifest(&self.repository, reference, accept).await
    }

    /// See [`Upstream::get_manifest`].
    ///
    /// # Errors
    /// Any failure to get a manifest that is what it should be.
    pub async fn get_manifest(
        &self,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<FetchedManifest, UpstreamError> {
        self.upstream.get_manifest(&self.repository, reference, accept).await
    }

    /// See [`Upstream::head_blob`].
    ///
    /// # Errors
    /// Any failure to get a usable answer; 404 among them.
    pub async fn head_blob(&self, digest: &Digest) -> Result<Option<u64>, UpstreamError> {
        self.upstream.head_blob(&self.repository, digest).await
    }

    /// See [`Upstream::get_blob`].
    ///
    /// # Errors
    /// Any failure to get the headers of a good answer.
    pub async fn get_blob(&self, digest: &Digest, from: u64) -> Result<BlobBody, UpstreamError> {
        self.upstream.get_blob(&self.repository, digest, from).await
    }

    /// See [`Upstream::distrust_mirrors`].
    pub fn distrust_mirrors(&self, digest: &Digest) {
        self.upstream.distrust_mirrors(digest);
    }

    /// See [`Upstream::tags`].
    ///
    /// # Errors
    /// Any failure to get a usable answer.
    pub async fn tags(&self, page: &Page) -> Result<TagPage, UpstreamError> {
        self.upstream.tags(&self.repository, page).await
    }

    /// See [`Upstream::referrers`].
    ///
    /// # Errors
    /// Any failure to get a usable answer.
    pub async fn referrers(
        &self,
        subject: &Digest,
    ) -> Result<Vec<serde_json::Value>, UpstreamError> {
        self.upstream.referrers(&self.repository, subject).await
    }
}
