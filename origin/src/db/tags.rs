//! The manifests that tags pointed at, one per media type.

use oci::{Digest, RepositoryName, Tag};

use super::manifests::{Row, StoredManifest, stored};
use super::{Db, DbError};
use crate::access::GroupId;

/// A manifest a tag points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedManifest {
    /// The manifest.
    pub manifest: StoredManifest,
    /// Whether every client gets this manifest: the request that returned it accepted an index too.
    pub general: bool,
    /// When the upstream last confirmed it, in milliseconds since 1970.
    pub checked_at: i64,
}

/// An upstream's confirmation that a tag points at a manifest.
#[derive(Debug, Clone, Copy)]
pub struct TagCheck<'t> {
    /// The group that pulled the tag.
    pub group: GroupId,
    /// The image.
    pub image: &'t RepositoryName,
    /// The tag.
    pub tag: &'t Tag,
    /// The manifest it points at, which is linked to the group.
    pub digest: &'t Digest,
    /// The manifest's media type.
    pub media_type: &'t str,
    /// See [`TaggedManifest::general`].
    pub general: bool,
    /// When it was confirmed, in milliseconds since 1970.
    pub at: i64,
}

impl Db {
    /// Returns the manifests that a tag pointed at when this group last pulled it: one per media type,
    /// the most recently confirmed first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn tagged_manifests(
        &self,
        group: GroupId,
        image: &RepositoryName,
        tag: &Tag,
    ) -> Result<Vec<TaggedManifest>, DbError> {
        let rows: Vec<(String, i64, String, i64, i64)> = sqlx::query_as(
            "SELECT m.digest, m.size, t.media_type, t.general, t.checked_at FROM tags t
             JOIN manifests m ON m.digest = t.digest
             JOIN manifest_links l
               ON l.group_id = t.group_id AND l.image = t.image AND l.digest = t.digest
             WHERE t.group_id = $1 AND t.image = $2 AND t.tag = $3
             ORDER BY t.checked_at DESC",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(tag.as_str())
        .fetch_all(&self.pool)
        .await?;
        let read = |(digest, size, media_type, general, checked_at): (_, _, _, i64, i64)| {
            let row: Row = (digest, size, media_type);
            Ok(TaggedManifest { manifest: stored(row)?, general: general != 0, checked_at })
        };
        rows.into_iter().map(read).collect()
    }

    /// Points a tag at a manifest that is linked to the group.
    ///
    /// # Errors
    /// The manifest is not stored, or the database fails.
    pub async fn point_tag(&self, check: TagCheck<'_>) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO tags (group_id, image, tag, media_type, digest, general, checked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (group_id, image, tag, media_type) DO UPDATE SET
               general = CASE WHEN tags.digest = excluded.digest AND tags.general = 1
                              THEN 1 ELSE excluded.general END,
               digest = excluded.digest,
               checked_at = excluded.checked_at",
        )
        .bind(check.group.0)
        .bind(check.image.as_str())
        .bind(check.tag.as_str())
        .bind(check.media_type)
        .bind(check.digest.to_string())
        .bind(i64::from(check.general))
        .bind(check.at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
