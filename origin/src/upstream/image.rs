//! Which upstream an image comes from, and by what name it is known there.

use std::sync::Arc;

use oci::{Digest, Page, Reference, RepositoryName};

use super::{BlobBody, FetchedManifest, ManifestHead, TagPage, Upstream, UpstreamError};
use crate::config;
use crate::metrics::Metrics;

/// The registries that are cached.
#[derive(Debug)]
pub struct Upstreams {
    default: Arc<Upstream>,
}

impl Upstreams {
    /// Clients that have not connected yet.
    ///
    /// # Errors
    /// The TLS library cannot be set up.
    pub fn new(config: &config::Upstream, _metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        Ok(Self { default: Arc::new(Upstream::new(config)?) })
    }

    /// The image a client means.
    #[must_use]
    pub fn image(&self, name: RepositoryName) -> Image {
        Image { upstream: Arc::clone(&self.default), repository: name.clone(), name }
    }
}

/// An image at its upstream.
#[derive(Debug, Clone)]
pub struct Image {
    upstream: Arc<Upstream>,
    repository: RepositoryName,
    name: RepositoryName,
}

impl Image {
    /// What rows know it by: the same however a client spelled it.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
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
