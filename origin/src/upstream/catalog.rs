//! Lists an upstream keeps of an image: its tags, and what refers to a manifest.

use bytes::Bytes;
use oci::media_type::OCI_INDEX;
use oci::{Digest, Endpoint, Page, Reference, RepositoryName, Tag};
use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use serde_json::Value;

use super::{Upstream, UpstreamError, Wish, collect, text};

/// The longest answer that is taken, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// What CNCF distribution gives at most; it refuses to be asked for more.
const MAX_TAGS: u32 = 1000;

/// How many pages a list of referrers may have.
const MAX_PAGES: usize = 100;

/// A part of the list of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPage {
    /// Its tags, in the upstream's order.
    pub tags: Vec<String>,
    /// The part after this one.
    pub next: Option<Page>,
}

#[derive(Deserialize)]
struct Tags {
    /// `null` where an image has none, at some registries.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Value>>,
}

impl Upstream {
    /// Asks for a part of the list of tags.
    ///
    /// # Errors
    /// Any failure to get a usable answer.
    pub async fn tags(
        &self,
        image: &RepositoryName,
        page: &Page,
    ) -> Result<TagPage, UpstreamError> {
        let page = Page { n: page.n.map(|n| n.min(MAX_TAGS)), ..page.clone() };
        let (body, next) = self.list(image, &Endpoint::Tags, "application/json", &page).await?;
        let tags = serde_json::from_slice::<Tags>(&body).ok();
        let tags = tags.ok_or(UpstreamError::Protocol("a list of tags that is none"))?;
        Ok(TagPage { tags: tags.tags.unwrap_or_default(), next })
    }

    /// Asks for the descriptors of all that refers to a manifest: by the API where there is one,
    /// else by the tag such registries keep them under.
    ///
    /// # Errors
    /// Any failure to get a usable answer; that there are none is none.
    pub async fn referrers(
        &self,
        image: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Value>, UpstreamError> {
        let (mut found, mut page, mut size) = (Vec::new(), Page::default(), 0);
        for _ in 0..MAX_PAGES {
            let endpoint = Endpoint::Referrers(subject.clone());
            let (body, next) = match self.list(image, &endpoint, OCI_INDEX, &page).await {
                Ok(answer) => answer,
                Err(UpstreamError::Status { status: 404, .. }) if page == Page::default() => {
                    return self.tagged_referrers(image, subject).await;
                }
                Err(error) => return Err(error),
            };
            size += body.len();
            found.extend(descriptors(&body)?);
            match next {
                Some(next) if next != page && size <= MAX_ANSWER => page = next,
                Some(_) => return Err(UpstreamError::Protocol("referrers without an end")),
                None => return Ok(found),
            }
        }
        Err(UpstreamError::Protocol("referrers without an end"))
    }

    async fn tagged_referrers(
        &self,
        image: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Value>, UpstreamError> {
        let tag = Reference::Tag(Tag::of_referrers(subject));
        match self.get_manifest(image, &tag, Some(OCI_INDEX)).await {
            Ok(index) => descriptors(&index.bytes),
            Err(UpstreamError::Status { status: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn list(
        &self,
        image: &RepositoryName,
        endpoint: &Endpoint,
        accept: &str,
        page: &Page,
    ) -> Result<(Bytes, Option<Page>), UpstreamError> {
        let query = page.to_string();
        let wish = Wish { accept: Some(accept), query: &query, ..Wish::default() };
        let response = self.send(Method::GET, image, endpoint, wish).await?;
        let next = text(response.headers(), LINK.as_str()).as_deref().and_then(Page::next_of);
        Ok((collect(response, MAX_ANSWER, self.config.read_timeout).await?, next))
    }
}

fn descriptors(index: &[u8]) -> Result<Vec<Value>, UpstreamError> {
    let read = serde_json::from_slice::<Index>(index).ok();
    let index = read.ok_or(UpstreamError::Protocol("a list of referrers that is none"))?;
    Ok(index.manifests.unwrap_or_default())
}
