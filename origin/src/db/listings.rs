//! The last listings of an upstream, served when it is unavailable.

use oci::RepositoryName;

use super::{Db, DbError, now_millis};
use crate::access::GroupId;

/// The most listings of one image that a group keeps; clients choose the queries.
const KEPT: i64 = 32;

impl Db {
    /// Returns the last response this group got to a query about an image.
    ///
    /// # Errors
    /// The database fails.
    pub async fn listing(
        &self,
        group: GroupId,
        image: &RepositoryName,
        query: &str,
    ) -> Result<Option<String>, DbError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT answer FROM listings
             WHERE group_id = $1 AND image = $2 AND question = $3",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(query)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(response,)| response))
    }

    /// Stores a response, and deletes the oldest beyond the limit.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remember_listing(
        &self,
        group: GroupId,
        image: &RepositoryName,
        query: &str,
        response: &str,
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO listings (group_id, image, question, answer, fetched_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (group_id, image, question)
             DO UPDATE SET answer = excluded.answer, fetched_at = excluded.fetched_at",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(query)
        .bind(response)
        .bind(now_millis())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM listings WHERE group_id = $1 AND image = $2 AND question NOT IN (
               SELECT question FROM listings WHERE group_id = $1 AND image = $2
               ORDER BY fetched_at DESC LIMIT $3)",
        )
        .bind(group.0)
        .bind(image.as_str())
        .bind(KEPT)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}
