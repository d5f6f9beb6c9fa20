//! Lists of an image: its tags, and the referrers of a manifest.

use bytes::Bytes;
use oci::media_type::OCI_INDEX;
use oci::{Digest, Endpoint, Page, Reference, Tag};
use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use serde_json::Value;

use super::error::{ProtocolError, UpstreamError};
use super::headers::text;
use super::image::Image;
use super::request::RegistryRequest;
use super::transport::collect;

/// The longest accepted page, and the longest accepted referrers list, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The largest page of CNCF distribution, which rejects requests for more.
const MAX_TAGS: u32 = 1000;

/// The most pages of one referrers list that are fetched.
const MAX_PAGES: usize = 100;

/// One page of a tag list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPage {
    /// The tags in the upstream's order.
    pub tags: Vec<String>,
    /// The next page, if there is one.
    pub next: Option<Page>,
}

#[derive(Deserialize)]
struct TagList {
    /// Some registries send `null` for an image without tags.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ReferrersIndex {
    manifests: Option<Vec<Value>>,
}

impl Image {
    /// Fetches one page of the tag list.
    ///
    /// # Errors
    /// No usable response.
    pub async fn tags(&self, page: &Page) -> Result<TagPage, UpstreamError> {
        let page = Page { n: page.n.map(|n| n.min(MAX_TAGS)), ..page.clone() };
        let (body, next) = self.list(&Endpoint::Tags, "application/json", &page).await?;
        let list: TagList =
            serde_json::from_slice(&body).map_err(|_| ProtocolError::NotATagList)?;
        Ok(TagPage { tags: list.tags.unwrap_or_default(), next })
    }

    /// Fetches the descriptors of a manifest's referrers: from the referrers API or, if the registry
    /// has none, from the tag of the "Referrers Tag Schema" (OCI distribution spec).
    ///
    /// # Errors
    /// No usable response. A subject without referrers is not an error.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Value>, UpstreamError> {
        let (mut found, mut page, mut size) = (Vec::new(), Page::default(), 0);
        let endpoint = Endpoint::Referrers(subject.clone());
        for _ in 0..MAX_PAGES {
            let (body, next) = match self.list(&endpoint, OCI_INDEX, &page).await {
                Ok(response) => response,
                // Only on the first page a 404 means that there is no referrers API.
                Err(UpstreamError::Status { status: 404, .. }) if page == Page::default() => {
                    return self.tagged_referrers(subject).await;
                }
                Err(error) => return Err(error),
            };
            size += body.len();
            found.extend(descriptors(&body)?);
            match next {
                Some(next) if next != page && size <= MAX_BODY => page = next,
                Some(_) => return Err(ProtocolError::TooManyReferrers.into()),
                None => return Ok(found),
            }
        }
        Err(ProtocolError::TooManyReferrers.into())
    }

    async fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Value>, UpstreamError> {
        let tag = Reference::Tag(Tag::of_referrers(subject));
        match self.get_manifest(&tag, Some(OCI_INDEX)).await {
            Ok(index) => Ok(descriptors(&index.bytes)?),
            Err(UpstreamError::Status { status: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn list(
        &self,
        endpoint: &Endpoint,
        accept: &str,
        page: &Page,
    ) -> Result<(Bytes, Option<Page>), UpstreamError> {
        let query = page.to_string();
        let request = RegistryRequest::new(&Method::GET, &self.repository, endpoint);
        let request = RegistryRequest { accept: Some(accept), query: &query, ..request };
        let response = self.upstream.send(request).await?;
        let next = text(response.headers(), LINK.as_str()).as_deref().and_then(Page::next_of);
        Ok((collect(response, MAX_BODY, self.upstream.read_timeout()).await?, next))
    }
}

fn descriptors(index: &[u8]) -> Result<Vec<Value>, ProtocolError> {
    let index: ReferrersIndex =
        serde_json::from_slice(index).map_err(|_| ProtocolError::NotAReferrersList)?;
    Ok(index.manifests.unwrap_or_default())
}
