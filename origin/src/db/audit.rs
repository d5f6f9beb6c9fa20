//! Queries of the check and the sweep, which compare rows with stored objects.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::blobs::size_of;
use super::{Db, DbError};
use crate::store::ObjectKind;

/// The number of rows that one query reads.
pub const PAGE: usize = 500;

/// A row of `blobs` or `manifests`, not validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The column `digest`, which may hold anything.
    pub digest: String,
    /// The column `size`, which may be negative.
    pub size: i64,
}

impl FromRow<'_, AnyRow> for AuditRow {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self { digest: row.try_get("digest")?, size: row.try_get("size")? })
    }
}

impl Db {
    /// Returns the number of rows of this kind and the sum of their sizes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_totals(&self, kind: ObjectKind) -> Result<(u64, u64), DbError> {
        let sql = with_table(
            kind,
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM {table}",
        );
        let (rows, bytes): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        Ok((size_of(table(kind), rows)?, bytes.try_into().unwrap_or_default()))
    }

    /// Returns the rows after this digest, in the order of their digests; empty at the end.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_page(
        &self,
        kind: ObjectKind,
        after: &str,
    ) -> Result<Vec<AuditRow>, DbError> {
        let sql = "SELECT digest, size FROM {table} WHERE digest > $1 ORDER BY digest LIMIT $2";
        let query = sqlx::query_as(with_table(kind, sql)).bind(after.to_owned()).bind(PAGE as i64);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Returns the row of this digest.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_row(
        &self,
        kind: ObjectKind,
        digest: &str,
    ) -> Result<Option<AuditRow>, DbError> {
        let sql = with_table(kind, "SELECT digest, size FROM {table} WHERE digest = $1");
        Ok(sqlx::query_as(sql).bind(digest.to_owned()).fetch_optional(&self.pool).await?)
    }

    /// Returns those of at most [`PAGE`] digests that have a row.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rows_among(
        &self,
        kind: ObjectKind,
        digests: &[String],
    ) -> Result<HashSet<String>, DbError> {
        if digests.is_empty() {
            return Ok(HashSet::new());
        }
        let places: Vec<_> = (1..=digests.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT digest FROM {{table}} WHERE digest IN ({})", places.join(", "));
        let query = sqlx::query_as(with_table(kind, &sql));
        let query = digests.iter().fold(query, |query, digest| query.bind(digest.clone()));
        let rows: Vec<(String,)> = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(digest,)| digest).collect())
    }

    /// Removes a row with the links and tags that refer to it. The next pull fetches the content from
    /// the upstream.
    ///
    /// # Errors
    /// The database fails; then nothing is removed.
    pub async fn forget(&self, kind: ObjectKind, digest: &str) -> Result<(), DbError> {
        let steps: &[&str] = match kind {
            ObjectKind::Blob => {
                &["DELETE FROM blob_links WHERE digest = $1", "DELETE FROM blobs WHERE digest = $1"]
            }
            ObjectKind::Manifest => &[
                "DELETE FROM tags WHERE digest = $1",
                "DELETE FROM manifest_links WHERE digest = $1",
                "DELETE FROM manifests WHERE digest = $1",
            ],
        };
        self.run_all(steps, digest).await
    }

    /// Returns the digests for which a link or tag exists but no row. The next pull repairs them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn dangling(&self, kind: ObjectKind) -> Result<Vec<String>, DbError> {
        let sql = match kind {
            ObjectKind::Blob => format!("SELECT DISTINCT digest FROM blob_links WHERE {BLOB_LINK}"),
            ObjectKind::Manifest => format!(
                "SELECT digest FROM manifest_links WHERE {MANIFEST_LINK}
                 UNION SELECT digest FROM tags WHERE {TAG}"
            ),
        };
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(digest,)| digest).collect())
    }

    /// Removes the links and tags of this digest that refer to no row, and no others.
    ///
    /// # Errors
    /// The database fails; then nothing is removed.
    pub async fn forget_dangling(&self, kind: ObjectKind, digest: &str) -> Result<(), DbError> {
        let and = |table: &str, dangles: &str| {
            format!("DELETE FROM {table} WHERE digest = $1 AND {dangles}")
        };
        let steps = match kind {
            ObjectKind::Blob => vec![and("blob_links", BLOB_LINK)],
            ObjectKind::Manifest => {
                vec![and("manifest_links", MANIFEST_LINK), and("tags", TAG)]
            }
        };
        let steps: Vec<_> = steps.iter().map(String::as_str).collect();
        self.run_all(&steps, digest).await
    }

    /// Runs statements with the digest as their only parameter, in one transaction.
    async fn run_all(&self, steps: &[&str], digest: &str) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        for step in steps {
            let step = AssertSqlSafe((*step).to_owned());
            sqlx::query(step).bind(digest.to_owned()).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

const BLOB_LINK: &str = "NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = blob_links.digest)";
const MANIFEST_LINK: &str =
    "NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = manifest_links.digest)";
const TAG: &str = "NOT EXISTS (SELECT 1 FROM manifest_links l WHERE l.group_id = tags.group_id
     AND l.image = tags.image AND l.digest = tags.digest)";

fn table(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Blob => "blobs",
        ObjectKind::Manifest => "manifests",
    }
}

/// Inserts the table name, which is one of two constants, so the SQL is safe.
fn with_table(kind: ObjectKind, sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{table}", table(kind)))
}
