//! Stored manifests, and the groups that may see them.

use oci::{Digest, RepositoryName};

use super::blobs::size_of;
use super::{Db, DbError, corrupt, now_millis};
use crate::access::GroupId;
use crate::inject::{self, Point};

/// A manifest that a group may see. The object store holds its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The upstream's `Content-Type`, unchanged.
    pub media_type: String,
}

pub(super) type Row = (String, i64, String);

pub(super) fn stored((digest, size, media_type): Row) -> Result<StoredManifest, DbError> {
    let digest = digest.parse().map_err(|error| corrupt("manifests", &error))?;
    Ok(StoredManifest { digest, size: size_of("manifests", size)?, media_type })
}

impl Db {
    /// Looks up a manifest by digest; `None` if this group has not pulled it as part of this image.
    ///
    /// # Errors
    /// The database fails.
    pub async fn linked_manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, DbError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT m.digest, m.size, l.media_type FROM manifest_links l
             JOIN manifests m ON m.digest = l.digest
             WHERE l.group_id = $1 AND l.image = $2 AND l.digest = $3",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(digest.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(stored).transpose()
    }

    /// Makes a stored manifest visible to a group. Its object must be complete.
    ///
    /// # Errors
    /// The database fails, and nothing becomes visible.
    pub async fn commit_manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        manifest: &StoredManifest,
    ) -> Result<(), DbError> {
        let (digest, now) = (manifest.digest.to_string(), now_millis());
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO manifests (digest, size, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (digest) DO UPDATE SET size = excluded.size",
        )
        .bind(&digest)
        .bind(i64::try_from(manifest.size).map_err(|error| corrupt("manifests", &error))?)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO manifest_links (group_id, image, digest, media_type, created_at, read_at)
             VALUES ($1, $2, $3, $4, $5, $5)
             ON CONFLICT (group_id, image, digest) DO UPDATE SET media_type = excluded.media_type",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(&digest)
        .bind(&manifest.media_type)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        inject::at(Point::ManifestLinked);
        Ok(transaction.commit().await?)
    }
}
