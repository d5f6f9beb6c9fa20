//! Lists of tags and referrers: asked of the upstream each time, remembered for when it is away.

use std::sync::Arc;

use gitlab::redact::redacted;
use oci::{Digest, Page, RepositoryName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::coalesce::Coalesced;
use super::{CacheStatus, tolerates};
use crate::config;
use crate::db::Db;
use crate::db::groups::GroupId;
use crate::error::{Error, Subject};
use crate::metrics::Metrics;
use crate::upstream::{Image, TagPage, UpstreamError};

/// Whose question about which image.
#[derive(Debug, Clone, Copy)]
pub struct CatalogRequest<'r> {
    /// On whose behalf.
    pub group: GroupId,
    /// Where the upstream has it.
    pub image: &'r Image,
}

/// A part of the list of tags, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagList {
    /// The tags.
    pub tags: Vec<String>,
    /// The query of the part after this one.
    pub next: Option<String>,
}

/// The Cell's lists.
#[derive(Debug, Clone)]
pub struct Catalog {
    db: Db,
    rules: Arc<config::Cache>,
    asked: Coalesced<(RepositoryName, Question), Arc<str>>,
    kept: Coalesced<(GroupId, RepositoryName, Question), Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Tags(Page),
    Referrers(Digest),
}

impl Catalog {
    /// Over a database.
    #[must_use]
    pub fn new(db: Db, rules: Arc<config::Cache>, metrics: &Metrics) -> Self {
        let kept = Coalesced::counted_by(&metrics.lookups);
        Self { db, rules, asked: Coalesced::default(), kept }
    }

    /// A part of the list of an image's tags.
    ///
    /// # Errors
    /// The upstream gives none, and gave none before, or the database fails.
    pub async fn tags(
        &self,
        request: CatalogRequest<'_>,
        page: &Page,
    ) -> Result<(TagList, CacheStatus), Error> {
        // A client that wants none is told whether there is an image, as others are.
        let none = page.n == Some(0);
        let asked = if none { Page { n: Some(1), ..page.clone() } } else { page.clone() };
        let (list, status) = self.answer::<TagList>(request, Question::Tags(asked)).await?;
        let list = if none { TagList { tags: Vec::new(), next: None } } else { list };
        Ok((list, status))
    }

    /// The descriptors of what refers to a manifest.
    ///
    /// # Errors
    /// The upstream gives none, and gave none before, or the database fails.
    pub async fn referrers(
        &self,
        request: CatalogRequest<'_>,
        subject: &Digest,
    ) -> Result<(Vec<Value>, CacheStatus), Error> {
        self.answer(request, Question::Referrers(subject.clone())).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: CatalogRequest<'_>,
        question: Question,
    ) -> Result<(T, CacheStatus), Error> {
        let image = request.image.name();
        let work = || {
            let (this, request) = (self.clone(), (request.group, request.image.clone()));
            let question = question.clone();
            async move { this.ask(request, question).await }
        };
        let key = (request.group, image.clone(), question.clone());
        let (fetched, joined) = self.kept.ask(key, work).await;
        match fetched {
            Ok(answer) => {
                // That another group asks the same is not this one's to know.
                let status = if joined { CacheStatus::Coalesced } else { CacheStatus::Miss };
                Ok((read(&answer)?, status))
            }
            Err(error) if tolerates(&self.rules, &error) => {
                let known = self.recall(request, &question).await?;
                let answer = known.ok_or_else(|| upstream(error.clone()))?;
                warn!(image = redacted(image.as_str()), %error, "serving a list of before");
                Ok((read(&answer)?, CacheStatus::Stale))
            }
            Err(error) => Err(upstream(error)),
        }
    }

    /// Asks the upstream for all groups at once, and remembers the answer for this one.
    async fn ask(
        self,
        (group, image): (GroupId, Image),
        question: Question,
    ) -> Result<Arc<str>, UpstreamError> {
        let (name, key) = (image.name().clone(), question.to_string());
        let work = || fetch(image.clone(), question.clone());
        let answer = self.asked.ask((name.clone(), question.clone()), work).await.0?;
        if let Err(error) = self.db.remember_listing(group, &name, &key, &answer).await {
            warn!(image = redacted(name.as_str()), %error, "a list is served that could not be kept");
        }
        Ok(answer)
    }

    /// The last answer; a part of the list of tags is cut out of the whole, where that is known.
    async fn recall(
        &self,
        request: CatalogRequest<'_>,
        question: &Question,
    ) -> Result<Option<String>, Error> {
        let known = async |question: &Question| {
            self.db.listing(request.group, request.image.name(), &question.to_string()).await
        };
        let found = known(question).await?;
        let (None, Question::Tags(page)) = (&found, question) else { return Ok(found) };
        let Some(whole) = known(&Question::Tags(Page::default())).await? else { return Ok(None) };
        let TagList { tags, next } = read(&whole)?;
        let part = next.is_none().then(|| trimmed(TagPage { tags, next: None }, page));
        Ok(part.and_then(|part| serde_json::to_string(&part).ok()))
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tags(page) => write!(f, "tags?{page}"),
            Self::Referrers(subject) => write!(f, "referrers/{subject}"),
        }
    }
}

async fn fetch(image: Image, question: Question) -> Result<Arc<str>, UpstreamError> {
    let answer = match question {
        Question::Tags(page) => serde_json::to_string(&trimmed(image.tags(&page).await?, &page)),
        Question::Referrers(subject) => serde_json::to_string(&image.referrers(&subject).await?),
    };
    Ok(answer.map_err(|_| UpstreamError::Protocol("a list that is no JSON"))?.into())
}

/// The part that was asked for, in order, also of an upstream that took no notice of `n` or `last`.
fn trimmed(page: TagPage, asked: &Page) -> TagList {
    let TagPage { mut tags, next } = page;
    if let Some(last) = &asked.last
        && (tags.contains(last) || tags.is_sorted())
    {
        tags.retain(|tag| tag > last);
    }
    tags.sort_unstable();
    tags.dedup();
    let limit = asked.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    if tags.len() <= limit {
        return TagList { tags, next: next.map(|next| next.to_string()) };
    }
    tags.truncate(limit);
    let rest = Page { n: asked.n, last: tags.last().cloned(), cursor: None };
    TagList { tags, next: Some(rest.to_string()) }
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|error| {
        crate::db::DbError::Corrupt { table: "listings", why: error.to_string() }.into()
    })
}

fn upstream(error: UpstreamError) -> Error {
    Error::Upstream(Subject::Image, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(tags: &[&str], next: Option<&str>, asked: &str) -> (Vec<String>, Option<String>) {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let next = next.map(|next| Page::parse(next).unwrap());
        let list = trimmed(TagPage { tags, next }, &Page::parse(asked).unwrap());
        (list.tags, list.next)
    }

    fn list(tags: &[&str], next: Option<&str>) -> (Vec<String>, Option<String>) {
        (tags.iter().map(|&tag| tag.to_owned()).collect(), next.map(str::to_owned))
    }

    #[test]
    fn an_upstreams_own_pages_are_passed_on_in_order() {
        assert_eq!(
            part(&["b", "a"], Some("n=2&last=b"), "n=2"),
            list(&["a", "b"], Some("n=2&last=b"))
        );
        assert_eq!(part(&["c"], None, "n=2&last=b"), list(&["c"], None));
        // In an order of its own, what comes after `z` may well be `a`.
        assert_eq!(part(&["b", "a"], None, "n=2&last=z"), list(&["a", "b"], None));
    }

    #[test]
    fn an_upstream_that_gives_everything_is_cut_to_size() {
        let all = ["d", "b", "a", "c", "b"];
        assert_eq!(part(&all, None, ""), list(&["a", "b", "c", "d"], None));
        assert_eq!(part(&all, None, "n=2"), list(&["a", "b"], Some("n=2&last=b")));
        assert_eq!(part(&all, None, "n=2&last=b"), list(&["c", "d"], None));
        assert_eq!(part(&["a", "b", "d"], None, "last=c"), list(&["d"], None));
    }
}
