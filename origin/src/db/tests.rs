use oci::{Digest, RepositoryName, Tag};

use super::groups::GroupId;
use super::manifests::StoredManifest;
use super::*;
use crate::config::Secret;

/// A migrated database in a folder that goes with the guard.
pub(crate) async fn database() -> (tempfile::TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("origin.db").display());
    let config = config::Database { url: Secret::new(url), max_connections: 4 };
    let db = Db::open(&config).await.unwrap();
    db.migrate().await.unwrap();
    (folder, db)
}

fn image() -> RepositoryName {
    "library/alpine".parse().unwrap()
}

fn manifest(bytes: &[u8]) -> StoredManifest {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    StoredManifest { digest, size, media_type: "application/x; charset=odd".into() }
}

#[tokio::test]
async fn members_of_a_group_are_members_of_the_groups_below_it() {
    let (_folder, db) = database().await;
    for path in ["acme", "acme/team", "globex"] {
        db.create_group(path).await.unwrap();
    }
    let user = db.create_user("ann").await.unwrap();
    db.add_member("acme", user).await.unwrap();
    db.add_member("acme", user).await.unwrap();
    for (path, member) in [("acme", true), ("ACME/Team", true), ("globex", false)] {
        assert_eq!(db.access(path, user).await.unwrap().unwrap().member, member, "{path}");
    }
    assert_eq!(db.access("acme/nobody", user).await.unwrap(), None);
}

#[tokio::test]
async fn a_member_of_a_subgroup_is_no_member_of_the_group_above() {
    let (_folder, db) = database().await;
    db.create_group("acme").await.unwrap();
    db.create_group("acme/team").await.unwrap();
    let user = db.create_user("tim").await.unwrap();
    db.add_member("acme/team", user).await.unwrap();
    assert!(db.access("acme/team", user).await.unwrap().unwrap().member);
    assert!(!db.access("acme", user).await.unwrap().unwrap().member);
}

#[tokio::test]
async fn a_group_needs_the_group_above_it_and_a_free_path() {
    let (_folder, db) = database().await;
    assert!(db.create_group("acme/team").await.is_err());
    db.create_group("acme").await.unwrap();
    assert!(matches!(db.create_group("Acme").await, Err(DbError::Exists(path)) if path == "acme"));
}

#[tokio::test]
async fn a_token_is_found_by_its_text_and_kept_as_a_hash() {
    let (_folder, db) = database().await;
    let user = db.create_user("ann").await.unwrap();
    db.add_token("glpat-secret", user, "laptop").await.unwrap();
    let owner = db.token_owner("glpat-secret").await.unwrap().unwrap();
    assert_eq!((owner.user, owner.username.as_str()), (user, "ann"));
    assert_eq!(db.token_owner("glpat-secreT").await.unwrap(), None);
    let (hash,): (String,) =
        sqlx::query_as("SELECT hash FROM tokens").fetch_one(&db.pool).await.unwrap();
    assert!(!hash.contains("secret"));
}

#[tokio::test]
async fn expired_and_revoked_tokens_are_nobodys() {
    let (_folder, db) = database().await;
    let user = db.create_user("ann").await.unwrap();
    for (token, sql) in [
        ("old", "UPDATE tokens SET expires_at = 1"),
        ("gone", "UPDATE tokens SET revoked_at = 1, expires_at = NULL"),
    ] {
        db.add_token(token, user, token).await.unwrap();
        sqlx::query(sql).execute(&db.pool).await.unwrap();
        assert_eq!(db.token_owner(token).await.unwrap(), None, "{token}");
    }
}

#[tokio::test]
async fn a_blob_is_visible_to_the_groups_it_was_committed_for() {
    let (_folder, db) = database().await;
    let acme = db.create_group("acme").await.unwrap();
    let globex = db.create_group("globex").await.unwrap();
    let digest = Digest::of(b"layer");
    db.commit_blob(&digest, 5, &[acme]).await.unwrap();
    assert_eq!(db.linked_blob(acme, &digest).await.unwrap(), Some(5));
    assert_eq!(db.linked_blob(globex, &digest).await.unwrap(), None);
    assert_eq!(db.stored_blob(&digest).await.unwrap(), Some(5));
    db.commit_blob(&digest, 5, &[acme, globex]).await.unwrap();
    assert_eq!(db.linked_blob(globex, &digest).await.unwrap(), Some(5));
}

#[tokio::test]
async fn a_tag_moves_and_its_old_manifest_stays_by_digest() {
    let (_folder, db) = database().await;
    let acme = db.create_group("acme").await.unwrap();
    let tag: Tag = "latest".parse().unwrap();
    let (old, new) = (manifest(b"old"), manifest(b"newer"));
    db.commit_manifest(acme, &image(), Some(&tag), &old).await.unwrap();
    db.commit_manifest(acme, &image(), Some(&tag), &new).await.unwrap();
    assert_eq!(db.tagged_manifest(acme, &image(), &tag).await.unwrap(), Some(new));
    assert_eq!(db.linked_manifest(acme, &image(), &old.digest).await.unwrap(), Some(old));
}

#[tokio::test]
async fn a_manifest_is_invisible_to_other_groups_and_images() {
    let (_folder, db) = database().await;
    let acme = db.create_group("acme").await.unwrap();
    let stored = manifest(b"manifest");
    db.commit_manifest(acme, &image(), None, &stored).await.unwrap();
    let other: RepositoryName = "library/nginx".parse().unwrap();
    assert_eq!(db.linked_manifest(acme, &other, &stored.digest).await.unwrap(), None);
    let stranger = GroupId(acme.0 + 1);
    assert_eq!(db.linked_manifest(stranger, &image(), &stored.digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused() {
    let (_folder, db) = database().await;
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
               execution_time) VALUES (9999, 'from the future', 1, x'00', 0)";
    sqlx::query(sql).execute(&db.pool).await.unwrap();
    assert!(matches!(db.migrate().await, Err(DbError::Migrate(_))));
}
