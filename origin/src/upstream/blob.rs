//! Blobs of an image: HEAD, and GET from any position.

use bytes::Bytes;
use oci::{Digest, Endpoint};
use reqwest::{Method, Response};

use super::error::{ProtocolError, UpstreamError};
use super::headers::{content_length, text};
use super::image::Image;
use super::request::RegistryRequest;

/// The body of a blob response, not yet read.
#[derive(Debug)]
pub struct BlobBody {
    /// The position of the first byte: the requested one, or 0 if the upstream ignores ranges.
    pub from: u64,
    /// The whole blob's length in bytes, if the upstream announced it.
    pub length: Option<u64>,
    response: Response,
}

impl BlobBody {
    fn new(response: Response, requested: u64) -> Result<Self, UpstreamError> {
        let headers = response.headers();
        if response.status() != 206 {
            let length = content_length(headers);
            return Ok(Self { from: 0, length, response });
        }
        let range = text(headers, "content-range").as_deref().and_then(oci::ContentRange::parse);
        match range {
            Some(range) if range.first == requested => {
                Ok(Self { from: requested, length: range.total, response })
            }
            _ => Err(ProtocolError::WrongRange.into()),
        }
    }

    /// Returns the next bytes, `None` at the end.
    ///
    /// # Errors
    /// The connection broke, or no byte arrived within the read timeout.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        Ok(self.response.chunk().await?)
    }
}

impl Image {
    /// Sends HEAD for a blob, to learn whether the upstream lets us read it. Returns its length, if
    /// the upstream reports one.
    ///
    /// # Errors
    /// No usable response; a 404 is an error, too.
    pub async fn head_blob(&self, digest: &Digest) -> Result<Option<u64>, UpstreamError> {
        let endpoint = Endpoint::Blob(digest.clone());
        let request = RegistryRequest::new(&Method::HEAD, &self.repository, &endpoint);
        let response = self.upstream.send(request).await?;
        Ok(content_length(response.headers()))
    }

    /// Starts to fetch a blob from position `from`. The caller verifies the bytes.
    ///
    /// # Errors
    /// No usable response head.
    pub async fn get_blob(&self, digest: &Digest, from: u64) -> Result<BlobBody, UpstreamError> {
        let endpoint = Endpoint::Blob(digest.clone());
        let request = RegistryRequest::new(&Method::GET, &self.repository, &endpoint);
        let response = self.upstream.send(RegistryRequest { from, ..request }).await?;
        BlobBody::new(response, from)
    }

    /// Skips the mirrors for this blob for a while, as one of them sent corrupt bytes.
    pub fn distrust_mirrors(&self, digest: &Digest) {
        self.upstream.distrust_mirrors(digest);
    }
}
