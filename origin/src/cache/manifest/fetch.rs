//! Asking the upstream once for all who want the same, and keeping what it sent.

use bytes::Bytes;
use oci::{Accept, Reference, RepositoryName};
use tracing::warn;

use super::{ManifestRequest, Manifests, OpenManifest};
use crate::cache::CacheStatus;
use crate::db::groups::GroupId;
use crate::db::manifests::StoredManifest;
use crate::db::now_millis;
use crate::db::tags::TagCheck;
use crate::error::Error;
use crate::inject::{self, Point};
use crate::store::Key;
use crate::upstream::{Image, ManifestHead, UpstreamError};

/// What an upstream can be asked; whoever asks the same shares the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    image: RepositoryName,
    reference: Reference,
    accept: Accept,
}

impl Ask {
    fn new(request: ManifestRequest<'_>, reference: &Reference) -> Self {
        let accept = match reference {
            Reference::Tag(_) => request.accept.clone(),
            // A digest is one manifest, whoever asks.
            Reference::Digest(_) => Accept::any(),
        };
        Self { image: request.image.name().clone(), reference: reference.clone(), accept }
    }
}

/// A manifest that came from the upstream.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    manifest: StoredManifest,
    bytes: Bytes,
    /// `false` where the store failed: the pull goes on without it.
    kept: bool,
}

impl Manifests {
    /// What the upstream says a reference points at.
    pub(super) async fn head(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<ManifestHead, UpstreamError> {
        let (ask, image) = (Ask::new(request, reference), request.image);
        let work = || {
            let (ask, image) = (ask.clone(), image.clone());
            async move { image.head_manifest(&ask.reference, Some(ask.accept.as_str())).await }
        };
        self.heads.ask(ask.clone(), work).await.0
    }

    /// Fetches a manifest and makes it visible to the group, which it asked for.
    pub(super) async fn fetch(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<OpenManifest, UpstreamError> {
        let ask = Ask::new(request, reference);
        let work = || {
            let (this, group, image) = (self.clone(), request.group, request.image.clone());
            let ask = ask.clone();
            async move { this.fetch_for(group, image, ask).await }
        };
        let (fetched, joined) = self.commits.ask((request.group, ask.clone()), work).await;
        let Fetched { manifest, bytes, .. } = fetched?;
        // That another group asks for the same is not this one's to know.
        let status = if joined { CacheStatus::Coalesced } else { CacheStatus::Miss };
        let StoredManifest { digest, size, media_type } = manifest;
        let bytes = request.body.then_some(bytes);
        Ok(OpenManifest { digest, media_type, size, bytes, status })
    }

    async fn fetch_for(
        self,
        group: GroupId,
        image: Image,
        ask: Ask,
    ) -> Result<Fetched, UpstreamError> {
        let work = || {
            let (this, ask) = (self.clone(), ask.clone());
            async move { this.get_and_store(image, ask).await }
        };
        let fetched = self.gets.ask(ask.clone(), work).await.0?;
        if fetched.kept
            && let Err(error) = self.show(group, &ask, &fetched.manifest).await
        {
            let digest = &fetched.manifest.digest;
            warn!(%digest, %error, "a manifest is served that could not be kept");
        }
        Ok(fetched)
    }

    /// The object comes before any row: what a row promises is there.
    async fn get_and_store(self, image: Image, ask: Ask) -> Result<Fetched, UpstreamError> {
        let fetched = image.get_manifest(&ask.reference, Some(ask.accept.as_str())).await?;
        inject::at(Point::ManifestFetched);
        let (digest, bytes) = (fetched.digest, fetched.bytes);
        let stored = self.store.put(&Key::Manifest(&digest), bytes.clone()).await;
        if let Err(error) = &stored {
            warn!(%digest, %error, "a manifest is served that could not be stored");
        }
        inject::at(Point::ManifestStored);
        let size = bytes.len() as u64;
        let manifest = StoredManifest { digest, size, media_type: fetched.media_type };
        Ok(Fetched { manifest, bytes, kept: stored.is_ok() })
    }

    /// Makes a stored manifest visible to a group, by digest and by the tags it was found under.
    async fn show(
        &self,
        group: GroupId,
        ask: &Ask,
        manifest: &StoredManifest,
    ) -> Result<(), Error> {
        self.db.commit_manifest(group, &ask.image, manifest).await?;
        inject::at(Point::ManifestCommitted);
        let mut tags = self.checks.redeem(group, &ask.image, &manifest.digest);
        if let Reference::Tag(tag) = &ask.reference {
            tags.retain(|(other, _)| other != tag);
            tags.push((tag.clone(), ask.accept.takes_indexes()));
        }
        for (tag, general) in tags {
            let check = TagCheck {
                group,
                image: &ask.image,
                tag: &tag,
                digest: &manifest.digest,
                media_type: &manifest.media_type,
                general,
                at: now_millis(),
            };
            self.db.point_tag(check).await?;
            self.warm.forget_tag(&(group, ask.image.clone(), tag));
        }
        Ok(())
    }
}
