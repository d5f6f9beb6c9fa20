//! When groups last read the blobs and manifests linked to them.

use std::time::Duration;

use oci::{Digest, RepositoryName};
use sqlx::{Any, Transaction};

use super::{Db, DbError};
use crate::access::GroupId;
use crate::inject::{self, Point};

/// A row that makes a blob or manifest visible to a group.
///
/// Writers sort their batches by `Ord`: two origins that update the same rows in the same order
/// cannot deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// A blob that a group may read.
    Blob(GroupId, Digest),
    /// A manifest that a group may read under this image name.
    Manifest(GroupId, RepositoryName, Digest),
}

impl Db {
    /// Sets the read times of links, given in milliseconds since 1970, in one transaction. A row whose
    /// read time is less than `granularity` older keeps it.
    ///
    /// # Errors
    /// The database fails; then no row has changed.
    pub async fn set_read_times(
        &self,
        links: &[(Link, i64)],
        granularity: Duration,
    ) -> Result<(), DbError> {
        let granularity = i64::try_from(granularity.as_millis()).unwrap_or(i64::MAX);
        let mut transaction = self.begin().await?;
        for (link, at) in links {
            link.set_read_time(*at, granularity, &mut transaction).await?;
        }
        inject::at(Point::ReadsWritten);
        Ok(transaction.commit().await?)
    }

    /// The read times of the only blob link and the only manifest link.
    #[cfg(test)]
    pub(crate) async fn read_times(&self) -> [i64; 2] {
        let sql = "SELECT b.read_at, m.read_at FROM blob_links b, manifest_links m";
        let row: (i64, i64) = sqlx::query_as(sql).fetch_one(&self.pool).await.unwrap();
        row.into()
    }
}

impl Link {
    async fn set_read_time(
        &self,
        at: i64,
        granularity: i64,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<(), DbError> {
        let query = match self {
            Self::Blob(group, digest) => sqlx::query(
                "UPDATE blob_links SET read_at = $1
                 WHERE read_at <= $2 AND group_id = $3 AND digest = $4",
            )
            .bind(at)
            .bind(at - granularity)
            .bind(group.0)
            .bind(digest.to_string()),
            Self::Manifest(group, image, digest) => sqlx::query(
                "UPDATE manifest_links SET read_at = $1
                 WHERE read_at <= $2 AND group_id = $3 AND image = $4 AND digest = $5",
            )
            .bind(at)
            .bind(at - granularity)
            .bind(group.0)
            .bind(image.as_str().to_owned())
            .bind(digest.to_string()),
        };
        query.execute(&mut **transaction).await?;
        Ok(())
    }
}
