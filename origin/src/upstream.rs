//! The registry that is cached: requests out, what came back, and how it failed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Digest, Endpoint, Reference, RepositoryName};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, Response};

use crate::config::{self, ShortNames};

pub use catalog::TagPage;
pub use error::{FailureClass, UpstreamError};
pub use image::{Image, Upstreams};

mod auth;
mod catalog;
mod error;
mod guard;
mod image;
mod request;

/// The longest manifest that is taken: the specification asks for 4 MiB at least, and Docker Hub
/// takes no more.
const MAX_MANIFEST: usize = 4 * 1024 * 1024;

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
            return Ok(Self { from: 0, length: content_length(headers), response });
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

/// A client of one registry.
#[derive(Debug)]
pub struct Upstream {
    client: Client,
    base: url::Url,
    guard: Arc<guard::Guard>,
    auth: auth::Authenticator,
    short_names: ShortNames,
    /// Which of several candidate repositories an image turned out to be.
    repositories: moka::sync::Cache<RepositoryName, RepositoryName>,
}

impl Upstream {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// The TLS library cannot be set up.
    pub fn new(config: &config::Upstream) -> anyhow::Result<Self> {
        let guard = Arc::new(guard::Guard::new(config));
        let client = Client::builder()
            .user_agent(concat!("dependency-proxy/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .dns_resolver(Arc::new(guard::VettedDns(Arc::clone(&guard))))
            .build()?;
        Ok(Self {
            auth: auth::Authenticator::new(client.clone(), Arc::clone(&guard), config),
            client,
            base: config.url.clone(),
            guard,
            short_names: config.short_names,
            repositories: moka::sync::Cache::new(10_000),
        })
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
        let response = self.send(Method::GET, image, &endpoint, wish).await?;
        if content_length(response.headers()).is_some_and(|length| length > MAX_MANIFEST as u64) {
            return Err(UpstreamError::Protocol("a manifest longer than 4 MiB"));
        }
        let media_type = text(response.headers(), CONTENT_TYPE.as_str());
        let announced = text(response.headers(), "docker-content-digest");
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => announced.and_then(|digest| digest.parse().ok()),
        };
        let bytes = collect(response, MAX_MANIFEST).await?;
        let digest = match expected {
            Some(digest) if digest.matches(&bytes) => digest,
            Some(_) => return Err(UpstreamError::Protocol("a manifest that is not its digest")),
            None => Digest::of(&bytes),
        };
        let media_type = media_type
            .or_else(|| oci::media_type::of_manifest(&bytes))
            .ok_or(UpstreamError::Protocol("a manifest without a Content-Type or a mediaType"))?;
        Ok(FetchedManifest { digest, media_type, bytes })
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

    /// Sends to the repository an image is: the one it was the last time, else the next candidate.
    async fn send(
        &self,
        method: Method,
        image: &RepositoryName,
        endpoint: &Endpoint,
        wish: Wish<'_>,
    ) -> Result<Response, UpstreamError> {
        let mut failure = UpstreamError::Protocol("an image without a repository");
        for repository in self.candidates(image) {
            match self.send_to(&method, &repository, endpoint, wish).await {
                Ok(response) => {
                    self.repositories.insert(image.clone(), repository);
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
        let names: [Option<RepositoryName>; 2] = match self.short_names {
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

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Read from the header: a HEAD's body is empty whatever its length would be.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

async fn collect(response: Response, limit: usize) -> Result<Bytes, UpstreamError> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if bytes.len() + chunk.len() > limit {
            return Err(UpstreamError::Protocol("an answer longer than its kind may be"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
