//! A request to a registry, before a host is chosen.

use oci::media_type::ACCEPT_MANIFESTS;
use oci::{Endpoint, RepositoryName};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, RANGE};
use reqwest::{Client, Method, RequestBuilder};
use url::Url;

/// A request for a part of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegistryRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) repository: &'a RepositoryName,
    pub(super) endpoint: &'a Endpoint,
    /// The accepted media types. `None`: all known ones for a manifest, no header for the rest.
    pub(super) accept: Option<&'a str>,
    /// The position of the first requested byte.
    pub(super) from: u64,
    /// The URL's query, which may be empty.
    pub(super) query: &'a str,
}

impl<'a> RegistryRequest<'a> {
    pub(super) fn new(
        method: &'a Method,
        repository: &'a RepositoryName,
        endpoint: &'a Endpoint,
    ) -> Self {
        Self { method, repository, endpoint, accept: None, from: 0, query: "" }
    }

    /// Whether the response body may take minutes.
    pub(super) fn is_download(&self) -> bool {
        matches!(self.endpoint, Endpoint::Blob(_)) && *self.method == Method::GET
    }

    /// Returns the value of the metric label `kind`.
    pub(super) fn kind(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Manifest(_) => "manifest",
            Endpoint::Blob(_) => "blob",
            Endpoint::Tags => "tags",
            Endpoint::Referrers(_) => "referrers",
        }
    }

    /// Returns the URL at a host. `namespace` is the parameter `ns`, which names the registry that a mirror
    /// stands in for (OCI distribution spec, "Registry Proxying").
    pub(super) fn url(&self, base: &Url, namespace: Option<&str>) -> Url {
        let mut url = base.clone();
        url.set_path(&format!("/v2/{}/{}", self.repository, self.endpoint));
        url.set_query(Some(self.query).filter(|query| !query.is_empty()));
        if let Some(namespace) = namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }

    /// Builds the HTTP request to `url`, which a redirect may have chosen.
    pub(super) fn build(
        &self,
        client: &Client,
        url: &Url,
        credential: Option<&HeaderValue>,
    ) -> RequestBuilder {
        let mut request = client.request(self.method.clone(), url.clone());
        // A digest is of the stored bytes, so the transfer must not compress them.
        request = request.header(ACCEPT_ENCODING, "identity");
        let known = matches!(self.endpoint, Endpoint::Manifest(_)).then_some(ACCEPT_MANIFESTS);
        if let Some(accept) = self.accept.or(known) {
            request = request.header(ACCEPT, accept);
        }
        if self.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.from));
        }
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential.clone());
        }
        request
    }
}
