//! Manifest requests to the upstream, shared by identical requests, and storing the response.

use bytes::Bytes;
use oci::{Accept, Reference, RepositoryName};
use tracing::warn;

use super::{ManifestRequest, Manifests, OpenManifest};
use crate::access::GroupId;
use crate::cache::error::{CacheError, FetchError};
use crate::db::manifests::StoredManifest;
use crate::db::now_millis;
use crate::db::tags::TagCheck;
use crate::inject::{self, Point};
use crate::store::Key;
use crate::upstream::{Image, ManifestHead, UpstreamError};

/// Identifies a request to an upstream. Concurrent requests with equal keys share one response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FetchKey {
    image: RepositoryName,
    reference: Reference,
    accept: Accept,
}

impl FetchKey {
    fn new(request: ManifestRequest<'_>, reference: &Reference) -> Self {
        let accept = match reference {
            Reference::Tag(_) => request.accept.clone(),
            // A digest is the same manifest for every client.
            Reference::Digest(_) => Accept::any(),
        };
        Self { image: request.image.name().clone(), reference: reference.clone(), accept }
    }
}

/// A manifest received from the upstream.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    manifest: StoredManifest,
    bytes: Bytes,
    /// `false` if the store failed: the manifest is served, but must not be linked.
    stored: bool,
}

impl Manifests {
    /// Asks the upstream by HEAD what a reference points at.
    pub(super) async fn head(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<ManifestHead, FetchError> {
        let (key, image) = (FetchKey::new(request, reference), request.image);
        let work = || {
            let (key, image) = (key.clone(), image.clone());
            async move { image.head_manifest(&key.reference, Some(key.accept.as_str())).await }
        };
        self.heads.run(key.clone(), work).await.0
    }

    /// Fetches a manifest, stores it and links it to the group.
    pub(super) async fn fetch(
        &self,
        request: ManifestRequest<'_>,
        reference: &Reference,
    ) -> Result<OpenManifest, FetchError> {
        let (key, group) = (FetchKey::new(request, reference), request.group);
        let (this, image, fetch_key) = (self.clone(), request.image.clone(), key.clone());
        let fetch = move || this.get_and_store(image, fetch_key);
        let (this, link_key) = (self.clone(), key.clone());
        let link = move |fetched| this.link_or_warn(group, link_key, fetched);
        let (fetched, status) = self.fetches.run(group, key, fetch, link).await;
        let Fetched { manifest, bytes, .. } = fetched?;
        let StoredManifest { digest, size, media_type } = manifest;
        let bytes = request.body.then_some(bytes);
        Ok(OpenManifest { digest, media_type, size, bytes, status })
    }

    /// Stores the object before any row is written, so that a row never promises an object that is
    /// not there.
    async fn get_and_store(self, image: Image, key: FetchKey) -> Result<Fetched, UpstreamError> {
        let fetched = image.get_manifest(&key.reference, Some(key.accept.as_str())).await?;
        inject::at(Point::ManifestFetched);
        let (digest, bytes) = (fetched.digest, fetched.bytes);
        let stored = self.store.put(&Key::Manifest(&digest), bytes.clone()).await;
        if let Err(error) = &stored {
            warn!(%digest, %error, "storing a manifest failed; serving it anyway");
        }
        inject::at(Point::ManifestStored);
        let size = bytes.len() as u64;
        let manifest = StoredManifest { digest, size, media_type: fetched.media_type };
        Ok(Fetched { manifest, bytes, stored: stored.is_ok() })
    }

    async fn link_or_warn(self, group: GroupId, key: FetchKey, fetched: Fetched) {
        if fetched.stored
            && let Err(error) = self.link(group, &key, &fetched.manifest).await
        {
            let digest = &fetched.manifest.digest;
            warn!(%digest, %error, "linking a manifest failed; serving it anyway");
        }
    }

    /// Makes a stored manifest visible to a group, by its digest and by the tags that point at it.
    async fn link(
        &self,
        group: GroupId,
        key: &FetchKey,
        manifest: &StoredManifest,
    ) -> Result<(), CacheError> {
        self.db.commit_manifest(group, &key.image, manifest).await?;
        inject::at(Point::ManifestCommitted);
        let mut tags = self.checks.take_announced(group, &key.image, &manifest.digest);
        if let Reference::Tag(tag) = &key.reference {
            tags.retain(|(other, _)| other != tag);
            tags.push((tag.clone(), key.accept.takes_indexes()));
        }
        for (tag, general) in tags {
            let check = TagCheck {
                group,
                image: &key.image,
                tag: &tag,
                digest: &manifest.digest,
                media_type: &manifest.media_type,
                general,
                at: now_millis(),
            };
            self.db.point_tag(check).await?;
            self.memory.evict_tag(&(group, key.image.clone(), tag));
        }
        Ok(())
    }
}
