//! The registries that are cached: requests out, what came back, and how it failed.

use std::time::Duration;

use bytes::Bytes;
use oci::{Digest, Endpoint, Reference, RepositoryName};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response};
use tracing::info;

use crate::config::{self, ShortNames};
use crate::metrics::RegistryLabel;

use image::Shared;
use request::{Ask, Registry};

pub use catalog::TagPage;
pub use error::{FailureClass, UpstreamError};
pub use image::{Image, Upstreams};
pub use limit::Quota;
pub use route::UnknownUpstream;

mod auth;
mod breaker;
mod catalog;
mod error;
mod guard;
mod image;
mod limit;
mod line;
mod request;
mod route;
mod slots;

/// The longest manifest that is taken: the specification asks for 4 MiB at least, and Docker Hub
/// takes no more.
const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// How long mirrors are not asked for a blob that one of them sent wrong.
const DISTRUST: Duration = Duration::from_secs(10 * 60);

const NOWHERE: UpstreamError = UpstreamError::Protocol("an image without a repository");

/// Bytes of a media type (RFC 6838 §4.2: two names of 127 each).
const MAX_MEDIA_TYPE: usize = 255;

/// What a HEAD tells of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest, where the upstream says; some answer a HEAD without.
    pub digest: Option<Digest>,
    /// Its length in bytes, where the upstream says.
    pub size: Option<u64>,
    /// Its `Content-Type`, to the letter, where the upstream says.
    pub media_type: Option<String>,
}

/// A manifest as received; the bytes match the digest.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// Its `Content-Type`, to the letter; where there is none, what it says of itself.
    pub media_type: String,
    /// The bytes, as the upstream sent them.
    pub bytes: Bytes,
}

/// A blob on its way.
#[derive(Debug)]
pub struct BlobBody {
    /// The position of the first byte that comes; 0 where the upstream took no notice of the one
    /// asked for.
    pub from: u64,
    /// The whole blob's length in bytes, where the upstream says.
    pub length: Option<u64>,
    response: Response,
}

impl BlobBody {
    fn of(response: Response, asked: u64) -> Result<Self, UpstreamError> {
        let headers = response.headers();
        if response.status() != 206 {
            let length = content_length(headers);
            return Ok(Self { from: 0, length, response });
        }
        let range = text(headers, "content-range").as_deref().and_then(oci::ContentRange::parse);
        match range {
            Some(range) if range.first == asked => {
                Ok(Self { from: asked, length: range.total, response })
            }
            _ => Err(UpstreamError::Protocol("another range than it was asked for")),
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The connection broke or went silent.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        Ok(self.response.chunk().await?)
    }
}

/// What a request asks for besides its path.
#[derive(Debug, Clone, Copy, Default)]
struct Wish<'w> {
    /// The media types a client takes; for manifests, `None` means all that are known here.
    accept: Option<&'w str>,
    /// The first byte wanted.
    from: u64,
    /// The URL's query.
    query: &'w str,
}

/// A registry with its mirrors.
#[derive(Debug)]
pub struct Upstream {
    /// With the passwords as they were read; told apart from the next configuration by it.
    config: config::Upstream,
    /// The mirrors in their order, then the registry itself.
    registries: Vec<Registry>,
    /// Which of several candidate repositories an image turned out to be.
    repositories: moka::sync::Cache<RepositoryName, RepositoryName>,
    /// What a mirror sent wrong, so that the registry itself is asked.
    spoilt: moka::sync::Cache<Digest, ()>,
}

impl Upstream {
    /// A client that has not connected yet; the passwords are read already.
    fn new(config: config::Upstream, shared: &Shared) -> anyhow::Result<Self> {
        let hosts = config.mirrors.iter().chain([&config.registry]);
        let registries =
            hosts.map(|host| Registry::new(host, &config, &shared.tokens, &shared.metrics));
        Ok(Self {
            registries: registries.collect::<anyhow::Result<_>>()?,
            config,
            repositories: moka::sync::Cache::new(10_000),
            spoilt: moka::sync::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(DISTRUST)
                .build(),
        })
    }

    /// What the registry itself said last about its rate limit.
    fn quota(&self) -> Option<Quota> {
        self.registries.last()?.line().quota()
    }

    /// Asks what a reference points at, without counting as a pull.
    ///
    /// # Errors
    /// Any failure to get a usable answer.
    pub async fn head_manifest(
        &self,
        image: &RepositoryName,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<ManifestHead, UpstreamError> {
        let endpoint = Endpoint::Manifest(reference.clone());
        let wish = Wish { accept, ..Wish::default() };
        let response = self.send(Method::HEAD, image, &endpoint, wish).await?;
        let headers = response.headers();
        Ok(ManifestHead {
            digest: text(headers, "docker-content-digest").and_then(|digest| digest.parse().ok()),
            size: content_length(headers),
            media_type: text(headers, CONTENT_TYPE.as_str()),
        })
    }

    /// Fetches a manifest and checks it: against the digest asked for, or the one announced.
    ///
    /// # Errors
    /// Any failure to get a manifest that is what it should be.
    pub async fn get_manifest(
        &self,
        image: &RepositoryName,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<FetchedManifest, UpstreamError> {
        let endpoint = Endpoint::Manifest(reference.clone());
        let wish = Wish { accept, ..Wish::default() };
        let mut failure = NOWHERE;
        for registry in &self.registries {
            let fetched = match self.send_at(registry, &Method::GET, image, &endpoint, wish).await {
                Ok(response) => read_manifest(response, reference, self.config.read_timeout).await,
                Err(error) => Err(error),
            };
            match fetched {
                Ok(manifest) => return Ok(manifest),
                Err(error) => failure = passed_on(registry, error),
            }
        }
        Err(failure)
    }

    /// Asks whether the upstream would give this blob to us: its length, where it says.
    ///
    /// # Errors
    /// Any failure to get a usable answer; 404 among them.
    pub async fn head_blob(
        &self,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, UpstreamError> {
        let endpoint = Endpoint::Blob(digest.clone());
        let response = self.send(Method::HEAD, image, &endpoint, Wish::default()).await?;
        Ok(content_length(response.headers()))
    }

    /// Starts fetching a blob from this position on; the bytes are not checked here.
    ///
    /// # Errors
    /// Any failure to get the headers of a good answer.
    pub async fn get_blob(
        &self,
        image: &RepositoryName,
        digest: &Digest,
        from: u64,
    ) -> Result<BlobBody, UpstreamError> {
        let endpoint = Endpoint::Blob(digest.clone());
        let wish = Wish { from, ..Wish::default() };
        let response = self.send(Method::GET, image, &endpoint, wish).await?;
        BlobBody::of(response, from)
    }

    /// Fetches this blob from no mirror for a while: what came was not the digest.
    pub fn distrust_mirrors(&self, digest: &Digest) {
        self.spoilt.insert(digest.clone(), ());
    }

    /// Asks the mirrors in their order, and the registry itself where none of them has it; its
    /// answer is final.
    async fn send(
        &self,
        method: Method,
        image: &RepositoryName,
        endpoint: &Endpoint,
        wish: Wish<'_>,
    ) -> Result<Response, UpstreamError> {
        let mut failure = NOWHERE;
        let spoilt = matches!(endpoint, Endpoint::Blob(digest) if self.spoilt.contains_key(digest));
        for registry in self.registries.iter().filter(|one| !(spoilt && one.is_mirror())) {
            match self.send_at(registry, &method, image, endpoint, wish).await {
                Ok(response) => return Ok(response),
                Err(error) => failure = passed_on(registry, error),
            }
        }
        Err(failure)
    }

    /// Sends to the repository an image is: the one it was the last time, else the next candidate.
    async fn send_at(
        &self,
        registry: &Registry,
        method: &Method,
        image: &RepositoryName,
        endpoint: &Endpoint,
        wish: Wish<'_>,
    ) -> Result<Response, UpstreamError> {
        let mut failure = NOWHERE;
        for repository in &self.candidates(image) {
            match registry.send(Ask { method, repository, endpoint, wish }).await {
                Ok(response) => {
                    self.repositories.insert(image.clone(), repository.clone());
                    return Ok(response);
                }
                Err(error) if error.class() == FailureClass::Outage => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn candidates(&self, image: &RepositoryName) -> Vec<RepositoryName> {
        let library = || format!("library/{image}").parse().ok();
        let short = image.components().nth(1).is_none();
        let names: [Option<RepositoryName>; 2] = match self.config.short_names {
            ShortNames::Library if short => [library(), None],
            ShortNames::LibraryFirst if short => [library(), Some(image.clone())],
            _ => [Some(image.clone()), None],
        };
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        if let Some(known) = self.repositories.get(image) {
            names.sort_by_key(|name| *name != known);
        }
        names
    }
}

/// What a mirror's failure means: the next one is asked.
fn passed_on(registry: &Registry, error: UpstreamError) -> UpstreamError {
    if registry.is_mirror() {
        let RegistryLabel { upstream, host } = registry.label();
        info!(%upstream, %host, %error, "a mirror does not have it; the next one is asked");
    }
    error
}

async fn read_manifest(
    response: Response,
    reference: &Reference,
    within: Duration,
) -> Result<FetchedManifest, UpstreamError> {
    if content_length(response.headers()).is_some_and(|length| length > MAX_MANIFEST as u64) {
        return Err(UpstreamError::Protocol("a manifest longer than 4 MiB"));
    }
    let media_type = text(response.headers(), CONTENT_TYPE.as_str())
        .filter(|media_type| media_type.len() <= MAX_MEDIA_TYPE);
    let announced = text(response.headers(), "docker-content-digest");
    let expected = match reference {
        Reference::Digest(digest) => Some(digest.clone()),
        Reference::Tag(_) => announced.and_then(|digest| digest.parse().ok()),
    };
    let bytes = collect(response, MAX_MANIFEST, within).await?;
    let digest = match expected {
        Some(digest) if digest.matches(&bytes) => digest,
        Some(_) => return Err(UpstreamError::Protocol("a manifest that is not its digest")),
        // Nobody vouches for it, so it must at least not be some gateway's page.
        None if !oci::media_type::is_object(&bytes) => {
            return Err(UpstreamError::Protocol("what is no manifest"));
        }
        None => Digest::of(&bytes),
    };
    let media_type = media_type
        .or_else(|| oci::media_type::of_manifest(&bytes))
        .ok_or(UpstreamError::Protocol("a manifest without a Content-Type or a mediaType"))?;
    Ok(FetchedManifest { digest, media_type, bytes })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Read from the header: a HEAD's body is empty whatever its length would be.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

/// An answer that is no blob: all who asked the same wait until it is whole.
async fn collect(
    response: Response,
    limit: usize,
    within: Duration,
) -> Result<Bytes, UpstreamError> {
    let whole = tokio::time::timeout(within, read_all(response, limit)).await;
    whole.unwrap_or(Err(UpstreamError::Timeout))
}

/// The response stays whole to the end: it holds a place among its registry's requests.
async fn read_all(mut response: Response, limit: usize) -> Result<Bytes, UpstreamError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(UpstreamError::Protocol("an answer longer than its kind may be"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
