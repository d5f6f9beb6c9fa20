//! Listings: an image's tags and a manifest's referrers. They are always fetched live from the
//! upstream; the last response is kept for when the upstream fails.

use std::sync::Arc;

use gitlab::redact::redacted;
use oci::{Digest, Page, RepositoryName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::error::{CacheError, FetchError, Subject};
use super::group_fetch::GroupFetch;
use super::stale::may_serve_stale;
use super::status::CacheStatus;
use crate::access::GroupId;
use crate::config;
use crate::db::{Db, DbError};
use crate::metrics::Metrics;
use crate::upstream::{Image, ProtocolError, TagPage, UpstreamError};

/// A request for a listing.
#[derive(Debug, Clone, Copy)]
pub struct ListingRequest<'r> {
    /// The group it is made for.
    pub group: GroupId,
    /// The image at its upstream.
    pub image: &'r Image,
}

/// A page of an image's tags, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagList {
    /// The tags.
    pub tags: Vec<String>,
    /// The query string of the next page.
    pub next: Option<String>,
}

/// The listings of a Cell.
#[derive(Debug, Clone)]
pub struct Listings {
    db: Db,
    rules: Arc<config::Cache>,
    fetches: GroupFetch<(RepositoryName, ListingQuery), Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ListingQuery {
    Tags(Page),
    Referrers(Digest),
}

impl Listings {
    /// Creates the listings over a database.
    #[must_use]
    pub fn new(db: Db, rules: Arc<config::Cache>, metrics: &Metrics) -> Self {
        Self { db, rules, fetches: GroupFetch::counted_by(&metrics.lookups) }
    }

    /// Returns a page of an image's tags.
    ///
    /// # Errors
    /// The upstream fails and no earlier response may be served, or the database fails.
    pub async fn tags(
        &self,
        request: ListingRequest<'_>,
        page: &Page,
    ) -> Result<(TagList, CacheStatus), CacheError> {
        // A page of no tags is still an error if the image does not exist, so one tag is fetched.
        let empty = page.n == Some(0);
        let fetched = if empty { Page { n: Some(1), ..page.clone() } } else { page.clone() };
        let (list, status) = self.list::<TagList>(request, ListingQuery::Tags(fetched)).await?;
        let list = if empty { TagList { tags: Vec::new(), next: None } } else { list };
        Ok((list, status))
    }

    /// Returns the descriptors of the manifests that refer to `subject`.
    ///
    /// # Errors
    /// The upstream fails and no earlier response may be served, or the database fails.
    pub async fn referrers(
        &self,
        request: ListingRequest<'_>,
        subject: &Digest,
    ) -> Result<(Vec<Value>, CacheStatus), CacheError> {
        self.list(request, ListingQuery::Referrers(subject.clone())).await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        request: ListingRequest<'_>,
        query: ListingQuery,
    ) -> Result<(T, CacheStatus), CacheError> {
        let (fetched, status) = self.fetch(request, &query).await;
        match fetched {
            Ok(json) => Ok((parse(&json)?, status)),
            Err(error) if may_serve_stale(&self.rules, &error) => {
                let Some(json) = self.recorded(request, &query).await? else {
                    return Err(error.about(Subject::Image));
                };
                let image = redacted(request.image.name().as_str());
                warn!(image, %error, "serving the last known listing, marked stale");
                Ok((parse(&json)?, CacheStatus::Stale))
            }
            Err(error) => Err(error.about(Subject::Image)),
        }
    }

    /// Fetches a listing from the upstream and records it for the group.
    async fn fetch(
        &self,
        request: ListingRequest<'_>,
        query: &ListingQuery,
    ) -> (Result<Arc<str>, FetchError>, CacheStatus) {
        let (group, image) = (request.group, request.image.clone());
        let (db, name, column) = (self.db.clone(), image.name().clone(), query.to_string());
        let record = move |json: Arc<str>| async move {
            if let Err(error) = db.remember_listing(group, &name, &column, &json).await {
                let image = redacted(name.as_str());
                warn!(image, %error, "a listing was served, but recording it failed");
            }
        };
        let key = (request.image.name().clone(), query.clone());
        let query = query.clone();
        self.fetches.run(group, key, move || fetch(image, query), record).await
    }

    /// Returns the last recorded response; a page of tags can also be cut out of a recorded
    /// complete list.
    async fn recorded(
        &self,
        request: ListingRequest<'_>,
        query: &ListingQuery,
    ) -> Result<Option<String>, CacheError> {
        let recorded = async |query: &ListingQuery| {
            self.db.listing(request.group, request.image.name(), &query.to_string()).await
        };
        let found = recorded(query).await?;
        let (None, ListingQuery::Tags(page)) = (&found, query) else { return Ok(found) };
        let complete = ListingQuery::Tags(Page::default());
        let Some(complete) = recorded(&complete).await? else { return Ok(None) };
        let TagList { tags, next } = parse(&complete)?;
        let list = next.is_none().then(|| page_of(TagPage { tags, next: None }, page));
        Ok(list.and_then(|list| serde_json::to_string(&list).ok()))
    }
}

/// The key in the database.
impl std::fmt::Display for ListingQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tags(page) => write!(f, "tags?{page}"),
            Self::Referrers(subject) => write!(f, "referrers/{subject}"),
        }
    }
}

async fn fetch(image: Image, query: ListingQuery) -> Result<Arc<str>, UpstreamError> {
    let json = match query {
        ListingQuery::Tags(page) => {
            serde_json::to_string(&page_of(image.tags(&page).await?, &page))
        }
        ListingQuery::Referrers(subject) => {
            serde_json::to_string(&image.referrers(&subject).await?)
        }
    };
    Ok(json.map_err(|_| ProtocolError::NotATagList)?.into())
}

/// Returns the requested page in order, even from an upstream that ignores `n` or `last`.
fn page_of(response: TagPage, requested: &Page) -> TagList {
    let TagPage { mut tags, next } = response;
    if let Some(last) = &requested.last
        && (tags.contains(last) || tags.is_sorted())
    {
        tags.retain(|tag| tag > last);
    }
    tags.sort_unstable();
    tags.dedup();
    let limit = requested.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    if tags.len() <= limit {
        return TagList { tags, next: next.map(|next| next.to_string()) };
    }
    tags.truncate(limit);
    let rest = Page { n: requested.n, last: tags.last().cloned(), cursor: None };
    TagList { tags, next: Some(rest.to_string()) }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, CacheError> {
    serde_json::from_str(json)
        .map_err(|error| DbError::Corrupt { table: "listings", why: error.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(tags: &[&str], next: Option<&str>, requested: &str) -> (Vec<String>, Option<String>) {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let next = next.map(|next| Page::parse(next).unwrap());
        let list = page_of(TagPage { tags, next }, &Page::parse(requested).unwrap());
        (list.tags, list.next)
    }

    fn list(tags: &[&str], next: Option<&str>) -> (Vec<String>, Option<String>) {
        (tags.iter().map(|&tag| tag.to_owned()).collect(), next.map(str::to_owned))
    }

    #[test]
    fn pages_of_the_upstream_are_passed_on_in_order() {
        assert_eq!(
            page(&["b", "a"], Some("n=2&last=b"), "n=2"),
            list(&["a", "b"], Some("n=2&last=b"))
        );
        assert_eq!(page(&["c"], None, "n=2&last=b"), list(&["c"], None));
        // An upstream with another sort order may well list `a` after `z`.
        assert_eq!(page(&["b", "a"], None, "n=2&last=z"), list(&["a", "b"], None));
    }

    #[test]
    fn the_response_of_an_upstream_that_ignores_paging_is_cut_to_the_page() {
        let all = ["d", "b", "a", "c", "b"];
        assert_eq!(page(&all, None, ""), list(&["a", "b", "c", "d"], None));
        assert_eq!(page(&all, None, "n=2"), list(&["a", "b"], Some("n=2&last=b")));
        assert_eq!(page(&all, None, "n=2&last=b"), list(&["c", "d"], None));
        assert_eq!(page(&["a", "b", "d"], None, "last=c"), list(&["d"], None));
    }
}
