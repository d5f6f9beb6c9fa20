//! An image at its upstream; requests for its parts are in `manifest`, `blob` and `listing`.

use std::sync::Arc;

use oci::RepositoryName;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::mirrors::Upstream;
use super::rate_limit::Quota;

/// Names the registry a response comes from (OCI distribution spec, "Registry Proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// An image at its upstream.
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) upstream: Arc<Upstream>,
    /// The image's name at the upstream, before short names are expanded.
    pub(super) repository: RepositoryName,
    pub(super) name: RepositoryName,
    /// The `ns` parameter of the client's request.
    pub(super) namespace: Option<String>,
}

impl Image {
    /// Returns the name that database rows use: the same for every spelling a client may choose.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Adds `OCI-Namespace`, if the client's request had the parameter `ns`.
    pub fn add_namespace(&self, headers: &mut HeaderMap) {
        let value = self.namespace.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(value)) = value {
            headers.insert(NAMESPACE, value);
        }
    }

    /// Adds the rate limit that the registry last reported, in Docker Hub's form.
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
}
