//! Migrations: from older schemas, and schemas that a newer program made.

use futures_util::future::join_all;
use oci::{Digest, Tag};

use super::{access, image, manifest, migrated};
use crate::access::{GroupId, Role, UserId, Visibility};
use crate::db::migrations::MIGRATIONS;
use crate::db::tags::TaggedManifest;
use crate::db::{Db, DbError, config};

/// That schema had neither roles nor visibility: its members become guests, and its groups private.
pub async fn rows_of_the_first_schema_are_migrated(config: &config::Database) {
    let db = Db::open(config).await.unwrap();
    db.migrate_to(Some(1)).await.unwrap();
    let (layer, stored) = (Digest::of(b"layer"), manifest(b"manifest"));
    for sql in [
        "INSERT INTO groups VALUES (1, 'acme', NULL, 1, 0)",
        "INSERT INTO users VALUES (1, 'ann', 0)",
        "INSERT INTO members VALUES (1, 1, 0)",
        &format!("INSERT INTO blobs VALUES ('{layer}', 5, 0)"),
        &format!("INSERT INTO blob_links VALUES (1, '{layer}', 0, 0)"),
        &format!("INSERT INTO manifests VALUES ('{}', {}, 0)", stored.digest, stored.size),
        &format!(
            "INSERT INTO manifest_links VALUES (1, '{}', '{}', '{}', 0, 0)",
            image(),
            stored.digest,
            stored.media_type
        ),
        &format!("INSERT INTO tags VALUES (1, '{}', 'latest', '{}', 0)", image(), stored.digest),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&db.pool).await.unwrap();
    }
    assert!(matches!(db.expect_current().await, Err(DbError::Older { found: 1, .. })));
    db.migrate().await.unwrap();
    db.expect_current().await.unwrap();
    let ann = access(&db, "acme", UserId(1)).await.unwrap();
    assert_eq!((ann.role, ann.visibility), (Some(Role::Guest), Visibility::Private));
    assert_eq!(db.linked_blob(GroupId(1), &layer).await.unwrap(), Some(5));
    let tag: Tag = "latest".parse().unwrap();
    let found = db.tagged_manifests(GroupId(1), &image(), &tag).await.unwrap();
    assert_eq!(found, [TaggedManifest { manifest: stored, general: true, checked_at: 0 }]);
}

/// The error names both versions and what to do.
pub async fn a_schema_newer_than_the_program_is_rejected(config: &config::Database) {
    let db = migrated(config).await;
    record_future_migration(&db).await;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
    assert!(matches!(db.expect_current().await, Err(DbError::Newer { .. })));
    let error = db.migrate().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the database schema has version 9999, but this program supports at most {known}: a newer \
             origin has migrated it. Run that version, or restore a backup made before the migration"
        )
    );
}

/// Neither the rejected program nor another one has to wait for a lock.
pub async fn a_rejected_schema_is_not_left_locked(config: &config::Database) {
    let db = migrated(config).await;
    record_future_migration(&db).await;
    db.migrate().await.unwrap_err();
    let undo = "DELETE FROM _sqlx_migrations WHERE version = 9999";
    sqlx::query(undo).execute(&db.pool).await.unwrap();
    migrated(config).await;
    db.migrate().await.unwrap();
}

/// Ten origins of one Cell start on an empty database.
pub async fn origins_that_start_concurrently_migrate_once(config: &config::Database) {
    let origins = (0..10).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { migrated(&config).await })
    });
    let started: Vec<_> = join_all(origins).await.into_iter().map(Result::unwrap).collect();
    let applied: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM _sqlx_migrations")
        .fetch_one(&started[0].pool)
        .await
        .unwrap();
    assert_eq!(applied.0, MIGRATIONS.iter().count() as i64);
}

async fn record_future_migration(db: &Db) {
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
               execution_time) VALUES (9999, 'from the future', TRUE, $1, 0)";
    sqlx::query(sql).bind(vec![0_u8]).execute(&db.pool).await.unwrap();
}
