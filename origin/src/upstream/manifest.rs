//! Manifests of an image: HEAD, and GET with verification.

use std::time::Duration;

use bytes::Bytes;
use oci::{Digest, Endpoint, Reference};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};

use super::error::{ProtocolError, UpstreamError};
use super::headers::{content_length, text};
use super::image::Image;
use super::request::RegistryRequest;
use super::transport::collect;

/// The longest accepted manifest. The OCI distribution specification demands support of at least
/// 4 MiB, and Docker Hub accepts no more.
const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// The longest accepted media type: two names of 127 characters and a slash (RFC 6838 §4.2).
const MAX_MEDIA_TYPE: usize = 255;

/// The description of a manifest in a response to HEAD. Registries may leave out each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// `Docker-Content-Digest`.
    pub digest: Option<Digest>,
    /// `Content-Length`.
    pub size: Option<u64>,
    /// `Content-Type`, verbatim.
    pub media_type: Option<String>,
}

/// A manifest whose bytes match its digest.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// `Content-Type`, verbatim; the manifest's own `mediaType` if there is no such header.
    pub media_type: String,
    /// The bytes exactly as the upstream sent them.
    pub bytes: Bytes,
}

impl Image {
    /// Sends HEAD for a manifest, which Docker Hub does not count as a pull.
    ///
    /// # Errors
    /// No usable response.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<ManifestHead, UpstreamError> {
        let endpoint = Endpoint::Manifest(reference.clone());
        let request = RegistryRequest::new(&Method::HEAD, &self.repository, &endpoint);
        let response = self.upstream.send(RegistryRequest { accept, ..request }).await?;
        let headers = response.headers();
        Ok(ManifestHead {
            digest: text(headers, "docker-content-digest").and_then(|digest| digest.parse().ok()),
            size: content_length(headers),
            media_type: text(headers, CONTENT_TYPE.as_str()),
        })
    }

    /// Fetches a manifest and verifies it against the requested digest or, for a tag, against the
    /// digest in the response.
    ///
    /// # Errors
    /// No host of the upstream sent a manifest that passes verification.
    pub async fn get_manifest(
        &self,
        reference: &Reference,
        accept: Option<&str>,
    ) -> Result<FetchedManifest, UpstreamError> {
        let endpoint = Endpoint::Manifest(reference.clone());
        let request = RegistryRequest::new(&Method::GET, &self.repository, &endpoint);
        let request = RegistryRequest { accept, ..request };
        let upstream = &*self.upstream;
        // The body is read per host, so that a mirror's corrupt manifest falls back to the next one.
        let fetch = |registry| async move {
            let response = upstream.send_to(registry, request).await?;
            read(response, reference, upstream.read_timeout()).await
        };
        upstream.first_success(&endpoint, fetch).await
    }
}

async fn read(
    response: Response,
    reference: &Reference,
    within: Duration,
) -> Result<FetchedManifest, UpstreamError> {
    if content_length(response.headers()).is_some_and(|length| length > MAX_MANIFEST as u64) {
        return Err(ProtocolError::ManifestTooLong.into());
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
        Some(_) => return Err(ProtocolError::DigestMismatch.into()),
        // Without a digest to verify against, at least reject the HTML page of a gateway.
        None if !oci::media_type::is_object(&bytes) => {
            return Err(ProtocolError::NotAManifest.into());
        }
        None => Digest::of(&bytes),
    };
    let media_type = media_type
        .or_else(|| oci::media_type::of_manifest(&bytes))
        .ok_or(ProtocolError::NoMediaType)?;
    Ok(FetchedManifest { digest, media_type, bytes })
}
