//! Stored blobs, and the groups that may see them.

use oci::Digest;

use super::{Db, DbError, corrupt, now_millis};
use crate::access::GroupId;
use crate::inject::{self, Point};

impl Db {
    /// Returns the size of a blob; `None` if it is not stored or not linked to this group.
    ///
    /// # Errors
    /// The database fails.
    pub async fn linked_blob(
        &self,
        group: GroupId,
        digest: &Digest,
    ) -> Result<Option<u64>, DbError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT b.size FROM blobs b JOIN blob_links l ON l.digest = b.digest
             WHERE l.group_id = $1 AND b.digest = $2",
        )
        .bind(group.0)
        .bind(digest.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|(size,)| size_of("blobs", size)).transpose()
    }

    /// Returns the size of a stored blob, whichever groups may see it. Only for callers whose upstream
    /// has granted the blob to the group.
    ///
    /// # Errors
    /// The database fails.
    pub async fn stored_blob(&self, digest: &Digest) -> Result<Option<u64>, DbError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT size FROM blobs WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(size,)| size_of("blobs", size)).transpose()
    }

    /// Makes a stored blob visible to these groups. Its object must be complete.
    ///
    /// # Errors
    /// The database fails, and nothing becomes visible.
    pub async fn commit_blob(
        &self,
        digest: &Digest,
        size: u64,
        groups: &[GroupId],
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO blobs (digest, size, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (digest) DO UPDATE SET size = excluded.size",
        )
        .bind(digest.to_string())
        .bind(i64::try_from(size).map_err(|error| corrupt("blobs", &error))?)
        .bind(now_millis())
        .execute(&mut *transaction)
        .await?;
        inject::at(Point::BlobRowWritten);
        for group in groups {
            sqlx::query(
                "INSERT INTO blob_links (group_id, digest, created_at, read_at)
                 VALUES ($1, $2, $3, $3) ON CONFLICT (group_id, digest) DO NOTHING",
            )
            .bind(group.0)
            .bind(digest.to_string())
            .bind(now_millis())
            .execute(&mut *transaction)
            .await?;
        }
        inject::at(Point::BlobLinked);
        Ok(transaction.commit().await?)
    }
}

pub(super) fn size_of(table: &'static str, size: i64) -> Result<u64, DbError> {
    u64::try_from(size).map_err(|error| corrupt(table, &error))
}
