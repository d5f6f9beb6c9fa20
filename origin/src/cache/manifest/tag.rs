//! Tag lookups: carries out what the [tag rule](super::tag_rule) decides.

use std::time::Instant;

use gitlab::redact::redacted;
use oci::{Digest, Reference, Tag};
use tracing::warn;

use super::tag_rule::{Next, Plan, TagRule};
use super::{ManifestRequest, Manifests, OpenManifest};
use crate::cache::error::{CacheError, FetchError, Subject};
use crate::cache::memory::{CachedTag, TagKey};
use crate::cache::status::CacheStatus;
use crate::config;
use crate::db::now_millis;
use crate::db::tags::{TagCheck, TaggedManifest};
use crate::upstream::ManifestHead;

/// One client's lookup of a tag.
struct TagLookup<'r> {
    request: ManifestRequest<'r>,
    tag: &'r Tag,
    reference: Reference,
    /// The manifests the tag pointed at, the latest check first.
    known: Vec<TaggedManifest>,
    /// When these rows were read.
    read: Instant,
}

impl TagLookup<'_> {
    fn key(&self) -> TagKey {
        (self.request.group, self.request.image.name().clone(), self.tag.clone())
    }

    fn rule<'a>(&'a self, config: &'a config::Cache) -> TagRule<'a> {
        let ManifestRequest { accept, body, .. } = self.request;
        TagRule { tag: self.tag, accept, body, known: &self.known, config }
    }
}

impl Manifests {
    /// Returns the manifest that a tag points at.
    pub(super) async fn by_tag(
        &self,
        request: ManifestRequest<'_>,
        tag: &Tag,
    ) -> Result<OpenManifest, CacheError> {
        let key = (request.group, request.image.name().clone(), tag.clone());
        let CachedTag { rows: known, read } = self.checks.known(&key).await?;
        let lookup =
            TagLookup { request, tag, reference: Reference::Tag(tag.clone()), known, read };
        let rule = lookup.rule(&self.rules);
        // A row whose object is missing is treated as if the tag had to be checked.
        if let Plan::Serve(row) = rule.plan(now_millis())
            && let Some(open) = self.load(request, row.manifest.clone(), read).await?
        {
            return Ok(open);
        }
        let head = self.head(request, &lookup.reference).await;
        let current = match &head {
            Ok(head) => self.current(&lookup, head).await?,
            Err(_) => None,
        };
        let mut next = rule.after_head(head, current);
        loop {
            next = match next {
                Next::Serve(open) => return Ok(open),
                Next::ServeFromHead(open) => {
                    let general = request.accept.takes_indexes();
                    self.checks.announce(lookup.key(), open.digest.clone(), general);
                    return Ok(open);
                }
                Next::Get(verdict) => match self.fetch(request, &lookup.reference).await {
                    Ok(open) => return Ok(open),
                    Err(error) => rule.after_get(error, verdict),
                },
                Next::Stale(attempt) => match self.stale(&lookup, &attempt.error).await? {
                    Some(open) => return Ok(open),
                    None => attempt.without_copy(),
                },
                Next::Fail(error) => return Err(error.about(Subject::Manifest)),
            };
        }
    }

    /// Returns the cached copy of the manifest a HEAD named: the tag's own, or another one of the
    /// image that the tag has moved to.
    async fn current(
        &self,
        lookup: &TagLookup<'_>,
        head: &ManifestHead,
    ) -> Result<Option<OpenManifest>, CacheError> {
        let Some(digest) = &head.digest else { return Ok(None) };
        let (request, general) = (lookup.request, lookup.request.accept.takes_indexes());
        let same_type =
            |media_type: &String| head.media_type.as_ref().is_none_or(|named| named == media_type);
        let is_named = |row: &&TaggedManifest| {
            row.manifest.digest == *digest && same_type(&row.manifest.media_type)
        };
        if let Some(row) = lookup.known.iter().find(is_named) {
            let open = self.load(request, row.manifest.clone(), lookup.read).await?;
            if open.is_some() {
                self.checks.confirm(lookup.key(), row, general);
            }
            return Ok(open);
        }
        let read = Instant::now();
        let row = self.db.linked_manifest(request.group, request.image.name(), digest).await?;
        let Some(row) = row.filter(|row| same_type(&row.media_type)) else { return Ok(None) };
        let open = self.load(request, row, read).await?;
        if let Some(open) = &open {
            self.point_tag(lookup, &open.digest, &open.media_type).await;
        }
        Ok(open)
    }

    /// Records that the tag moved. A failure costs the next pull another check, not this one its
    /// manifest.
    async fn point_tag(&self, lookup: &TagLookup<'_>, digest: &Digest, media_type: &str) {
        let (group, image, tag) = (lookup.request.group, lookup.request.image.name(), lookup.tag);
        let (general, at) = (lookup.request.accept.takes_indexes(), now_millis());
        let check = TagCheck { group, image, tag, digest, media_type, general, at };
        match self.db.point_tag(check).await {
            Ok(()) => self.memory.evict_tag(&lookup.key()),
            Err(error) => {
                let (image, tag) = (redacted(image.as_str()), redacted(tag.as_str()));
                warn!(image, tag, %error, "recording that a tag moved failed; serving it anyway");
            }
        }
    }

    /// Returns the best cached copy that the client accepts.
    async fn stale(
        &self,
        lookup: &TagLookup<'_>,
        error: &FetchError,
    ) -> Result<Option<OpenManifest>, CacheError> {
        for row in lookup.rule(&self.rules).stale_candidates() {
            if let Some(open) = self.load(lookup.request, row.manifest.clone(), lookup.read).await?
            {
                warn!(digest = %open.digest, %error, "serving a cached manifest, marked stale");
                return Ok(Some(OpenManifest { status: CacheStatus::Stale, ..open }));
            }
        }
        Ok(None)
    }
}
