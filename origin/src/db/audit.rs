//! Rows as those see them who compare them with what is stored.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use super::blobs::size_of;
use super::{Db, DbError};
use crate::store::Class;

/// How many rows one question is about.
pub const PAGE: usize = 500;

/// A row of `blobs` or `manifests`, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRow {
    /// What should be a digest.
    pub digest: String,
    /// What should be its length in bytes.
    pub size: i64,
}

impl Db {
    /// How many rows a class has, and how many bytes they speak of.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_totals(&self, class: Class) -> Result<(u64, u64), DbError> {
        let sql = of(class, "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM {table}");
        let (rows, bytes): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        Ok((size_of(table(class), rows)?, bytes.try_into().unwrap_or_default()))
    }

    /// The next rows in the digests' order; empty at the end.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_page(&self, class: Class, after: &str) -> Result<Vec<AuditRow>, DbError> {
        let sql = "SELECT digest, size FROM {table} WHERE digest > $1 ORDER BY digest LIMIT $2";
        let query = sqlx::query_as(of(class, sql)).bind(after.to_owned()).bind(PAGE as i64);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// One row.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_row(&self, class: Class, digest: &str) -> Result<Option<AuditRow>, DbError> {
        let sql = of(class, "SELECT digest, size FROM {table} WHERE digest = $1");
        Ok(sqlx::query_as(sql).bind(digest.to_owned()).fetch_optional(&self.pool).await?)
    }

    /// Those of up to [`PAGE`] digests that have a row.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rows_among(
        &self,
        class: Class,
        digests: &[String],
    ) -> Result<HashSet<String>, DbError> {
        if digests.is_empty() {
            return Ok(HashSet::new());
        }
        let places: Vec<_> = (1..=digests.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT digest FROM {{table}} WHERE digest IN ({})", places.join(", "));
        let query = sqlx::query_as(of(class, &sql));
        let query = digests.iter().fold(query, |query, digest| query.bind(digest.clone()));
        let rows: Vec<(String,)> = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(digest,)| digest).collect())
    }

    /// Removes a row with the links and tags that lead to it: the next pull asks the upstream, as
    /// if there had been none.
    ///
    /// # Errors
    /// The database fails; then all of it is still there.
    pub async fn forget(&self, class: Class, digest: &str) -> Result<(), DbError> {
        let steps: &[&str] = match class {
            Class::Blob => {
                &["DELETE FROM blob_links WHERE digest = $1", "DELETE FROM blobs WHERE digest = $1"]
            }
            Class::Manifest => &[
                "DELETE FROM tags WHERE digest = $1",
                "DELETE FROM manifest_links WHERE digest = $1",
                "DELETE FROM manifests WHERE digest = $1",
            ],
        };
        self.in_one(steps, digest).await
    }

    /// Digests that a link or tag leads to in vain: they heal by the next pull.
    ///
    /// # Errors
    /// The database fails.
    pub async fn dangling(&self, class: Class) -> Result<Vec<String>, DbError> {
        let sql = match class {
            Class::Blob => format!("SELECT DISTINCT digest FROM blob_links WHERE {BLOB_LINK}"),
            Class::Manifest => format!(
                "SELECT digest FROM manifest_links WHERE {MANIFEST_LINK}
                 UNION SELECT digest FROM tags WHERE {TAG}"
            ),
        };
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(digest,)| digest).collect())
    }

    /// Removes the links and tags that lead to this digest in vain, and no other.
    ///
    /// # Errors
    /// The database fails; then all of them are still there.
    pub async fn forget_dangling(&self, class: Class, digest: &str) -> Result<(), DbError> {
        let and = |table: &str, dangles: &str| {
            format!("DELETE FROM {table} WHERE digest = $1 AND {dangles}")
        };
        let steps = match class {
            Class::Blob => vec![and("blob_links", BLOB_LINK)],
            Class::Manifest => {
                vec![and("manifest_links", MANIFEST_LINK), and("tags", TAG)]
            }
        };
        let steps: Vec<_> = steps.iter().map(String::as_str).collect();
        self.in_one(&steps, digest).await
    }

    async fn in_one(&self, steps: &[&str], digest: &str) -> Result<(), DbError> {
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

fn table(class: Class) -> &'static str {
    match class {
        Class::Blob => "blobs",
        Class::Manifest => "manifests",
    }
}

/// Only the table's name, which is one of two, is filled in.
fn of(class: Class, sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{table}", table(class)))
}
