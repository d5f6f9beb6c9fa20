//! A tag may move: what it points at is asked by HEAD, unless the configuration trusts a check.

use std::time::Instant;

use gitlab::redact::redacted;
use oci::{Accept, Digest, Reference, Tag, media_type};
use tracing::warn;

use super::checks::millis;
use super::{
    ManifestRequest, Manifests, OpenManifest, from_head, may_be_about_head, may_hold_for_head_only,
    upstream,
};
use crate::cache::warm::WarmTag;
use crate::cache::{CacheStatus, tolerates};
use crate::db::now_millis;
use crate::db::tags::{TagCheck, TaggedManifest};
use crate::error::Error;
use crate::upstream::{ManifestHead, UpstreamError};

/// A tag a client asks for, and what is known of it.
struct Asked<'r> {
    request: ManifestRequest<'r>,
    tag: &'r Tag,
    reference: Reference,
    /// The latest first.
    known: Vec<TaggedManifest>,
    /// When that was read.
    read: Instant,
}

impl Manifests {
    /// The rule of the seeds: HEAD; same digest → cache; HEAD fails → cache; else GET and store.
    pub(super) async fn by_tag(
        &self,
        request: ManifestRequest<'_>,
        tag: &Tag,
    ) -> Result<OpenManifest, Error> {
        let place = (request.group, request.image.name().clone(), tag.clone());
        let WarmTag { rows: known, read } = self.checks.known(&place).await?;
        let asked = Asked { request, tag, reference: Reference::Tag(tag.clone()), known, read };
        if let Some(row) = self.unasked(&asked)
            && let Some(open) = self.load(request, row.manifest.clone(), asked.read).await?
        {
            return Ok(open);
        }
        match self.head(request, &asked.reference).await {
            Ok(head) => self.after_head(&asked, head).await,
            Err(error) if may_be_about_head(&error) => self.get(&asked).await,
            Err(error) => self.after_failure(&asked, error).await,
        }
    }

    /// What may be served without asking anybody.
    fn unasked<'a>(&self, asked: &'a Asked<'_>) -> Option<&'a TaggedManifest> {
        let row = asked.known.iter().find(|row| suits(row, asked.request.accept))?;
        let age = now_millis().saturating_sub(row.checked_at);
        let checked = (0..millis(self.rules.recheck_interval)).contains(&age);
        (checked || self.rules.immutable_tags.matches(asked.tag.as_str())).then_some(row)
    }

    async fn after_head(
        &self,
        asked: &Asked<'_>,
        head: ManifestHead,
    ) -> Result<OpenManifest, Error> {
        let request = asked.request;
        let Some(digest) = head.digest.clone() else { return self.get(asked).await };
        if let Some(open) = self.current(asked, &head, &digest).await? {
            return Ok(open);
        }
        if !request.body
            && let Some(open) = from_head(head, &digest)
        {
            self.checks.promise(asked.place(), digest, request.accept.takes_indexes());
            return Ok(open);
        }
        self.get(asked).await
    }

    /// The cached manifest a HEAD spoke of: the tag's own, or one the tag has moved to.
    async fn current(
        &self,
        asked: &Asked<'_>,
        head: &ManifestHead,
        digest: &Digest,
    ) -> Result<Option<OpenManifest>, Error> {
        let (request, general) = (asked.request, asked.request.accept.takes_indexes());
        let is_it = |row: &&TaggedManifest| {
            let kind = head.media_type.as_ref().is_none_or(|kind| *kind == row.manifest.media_type);
            kind && row.manifest.digest == *digest
        };
        if let Some(row) = asked.known.iter().find(is_it) {
            let open = self.load(request, row.manifest.clone(), asked.read).await?;
            if open.is_some() {
                self.checks.confirm(asked.place(), row, general);
            }
            return Ok(open);
        }
        let read = Instant::now();
        let row = self.db.linked_manifest(request.group, request.image.name(), digest).await?;
        let same_kind = |kind: &String| head.media_type.as_ref().is_none_or(|told| told == kind);
        let Some(row) = row.filter(|row| same_kind(&row.media_type)) else { return Ok(None) };
        let open = self.load(request, row, read).await?;
        if let Some(open) = &open {
            self.point(asked, open, general).await;
        }
        Ok(open)
    }

    /// What cannot be noted is asked again by the next pull; this one goes on.
    async fn point(&self, asked: &Asked<'_>, open: &OpenManifest, general: bool) {
        let (group, image, tag) = (asked.request.group, asked.request.image.name(), asked.tag);
        let (digest, media_type, at) = (&open.digest, open.media_type.as_str(), now_millis());
        let check = TagCheck { group, image, tag, digest, media_type, general, at };
        match self.db.point_tag(check).await {
            Ok(()) => self.warm.forget_tag(&asked.place()),
            Err(error) => {
                let (image, tag) = (redacted(image.as_str()), redacted(tag.as_str()));
                warn!(image, tag, %error, "a tag is served that could not be moved");
            }
        }
    }

    async fn get(&self, asked: &Asked<'_>) -> Result<OpenManifest, Error> {
        match self.fetch(asked.request, &asked.reference).await {
            Ok(open) => Ok(open),
            Err(error) => match self.stale(asked, &error).await? {
                Some(open) => Ok(open),
                None => Err(upstream(error)),
            },
        }
    }

    /// A GET is worth a try only where nothing is cached.
    async fn after_failure(
        &self,
        asked: &Asked<'_>,
        error: UpstreamError,
    ) -> Result<OpenManifest, Error> {
        if let Some(open) = self.stale(asked, &error).await? {
            return Ok(open);
        }
        if may_hold_for_head_only(&error) {
            return self.get(asked).await;
        }
        Err(upstream(error))
    }

    /// A cached copy the client takes, where the failure says nothing about it.
    async fn stale(
        &self,
        asked: &Asked<'_>,
        error: &UpstreamError,
    ) -> Result<Option<OpenManifest>, Error> {
        if !tolerates(&self.rules, error) {
            return Ok(None);
        }
        let accept = asked.request.accept;
        let best = asked.known.iter().filter(|row| suits(row, accept));
        let rest = asked.known.iter().filter(|row| accept.permits(&row.manifest.media_type));
        for row in best.chain(rest) {
            let row = row.manifest.clone();
            if let Some(open) = self.load(asked.request, row, asked.read).await? {
                warn!(digest = %open.digest, %error, "serving a cached manifest unchecked");
                return Ok(Some(OpenManifest { status: CacheStatus::Stale, ..open }));
            }
        }
        Ok(None)
    }
}

impl Asked<'_> {
    fn place(&self) -> (crate::db::groups::GroupId, oci::RepositoryName, Tag) {
        (self.request.group, self.request.image.name().clone(), self.tag.clone())
    }
}

/// Whether the upstream would answer this client with this manifest too, as far as can be known: a
/// single image that was given to a client of nothing else may hide an index.
fn suits(row: &TaggedManifest, accept: &Accept) -> bool {
    let kind = &row.manifest.media_type;
    let same_for_all = row.general || media_type::is_index(kind) || !accept.takes_indexes();
    same_for_all && accept.permits(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::manifests::StoredManifest;
    use oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    fn row(media_type: &str, general: bool) -> TaggedManifest {
        let (digest, media_type) = (Digest::of(b"x"), media_type.to_owned());
        let manifest = StoredManifest { digest, size: 1, media_type };
        TaggedManifest { manifest, general, checked_at: 0 }
    }

    #[test]
    fn a_narrow_answer_is_none_for_a_client_of_indexes() {
        let narrow = Accept::parse([DOCKER_MANIFEST]);
        let wide = Accept::parse([DOCKER_MANIFEST, OCI_MANIFEST, OCI_INDEX]);
        for (media_type, general, to_narrow, to_wide) in [
            (DOCKER_MANIFEST, false, true, false),
            (DOCKER_MANIFEST, true, true, true),
            (OCI_INDEX, false, false, true),
            (OCI_MANIFEST, true, false, true),
        ] {
            let row = row(media_type, general);
            assert_eq!(suits(&row, &narrow), to_narrow, "{media_type} {general}");
            assert_eq!(suits(&row, &wide), to_wide, "{media_type} {general}");
        }
    }
}
