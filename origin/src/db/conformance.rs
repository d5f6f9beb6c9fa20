//! The requirements on every kind of database, as one list of test cases that runs against each kind.

#![allow(clippy::indexing_slicing, clippy::missing_panics_doc, clippy::unwrap_used)]

use futures_util::future::join_all;
use gitlab::group_path::GroupPath;
use oci::{Digest, RepositoryName, Tag};

use super::manifests::StoredManifest;
use super::tags::{TagCheck, TaggedManifest};
use super::{Db, DbError, config};
use crate::access::{Access, GroupId, Memberships as _, Role, UserId, Visibility};

pub use schema::{
    a_rejected_schema_is_not_left_locked, a_schema_newer_than_the_program_is_rejected,
    origins_that_start_concurrently_migrate_once, rows_of_the_first_schema_are_migrated,
};

mod schema;

/// Creates one test for each case, each with its own database: `database_conformance!(database)`, where
/// `async fn database()` returns a guard that keeps an empty database alive, and its configuration.
#[macro_export]
macro_rules! database_conformance {
    ($database:path) => {
        $crate::database_conformance! { $database:
            members_of_a_group_are_members_of_its_subgroups
            a_member_of_a_subgroup_is_not_a_member_of_its_parent
            a_repository_belongs_to_the_group_with_the_longest_matching_path
            the_highest_inherited_role_and_the_visibility_of_the_repositorys_own_group_apply
            a_group_needs_an_existing_parent_and_an_unused_path
            a_token_is_found_by_its_text_but_stored_as_a_hash
            expired_and_revoked_tokens_have_no_owner
            a_blob_is_visible_only_to_the_groups_it_was_committed_for
            a_moved_tag_keeps_its_previous_manifest_available_by_digest
            a_tag_has_one_manifest_per_media_type_with_the_latest_first
            tags_of_the_second_schema_keep_their_manifests
            a_limited_number_of_recent_listings_is_kept_per_image
            a_manifest_is_invisible_to_other_groups_and_images
            fifty_concurrent_commits_all_succeed
            rows_of_the_first_schema_are_migrated
            a_schema_newer_than_the_program_is_rejected
            a_rejected_schema_is_not_left_locked
            origins_that_start_concurrently_migrate_once
        }
    };
    ($database:path: $($case:ident)*) => { $(
        #[tokio::test]
        async fn $case() {
            let (_alive, config) = $database().await;
            $crate::db::conformance::$case(&config).await;
        }
    )* };
}

fn path(text: &str) -> GroupPath {
    text.parse().unwrap()
}

async fn access(db: &Db, group: &str, user: UserId) -> Option<Access> {
    db.access(&path(group), user).await.unwrap()
}

async fn migrated(config: &config::Database) -> Db {
    let db = Db::open(config).await.unwrap();
    db.migrate().await.unwrap();
    db
}

fn image() -> RepositoryName {
    "library/alpine".parse().unwrap()
}

fn manifest(bytes: &[u8]) -> StoredManifest {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    StoredManifest { digest, size, media_type: "application/x; charset=odd".into() }
}

/// Paths are case-insensitive.
pub async fn members_of_a_group_are_members_of_its_subgroups(config: &config::Database) {
    let db = migrated(config).await;
    for group in ["acme", "acme/team", "globex"] {
        db.create_group(&path(group), Visibility::Private).await.unwrap();
    }
    let user = db.create_user("ann").await.unwrap();
    db.add_member(&path("acme"), user, Role::Guest).await.unwrap();
    db.add_member(&path("acme"), user, Role::Guest).await.unwrap();
    for (group, member) in [("acme", true), ("ACME/Team", true), ("globex", false)] {
        let role = access(&db, group, user).await.unwrap().role;
        assert_eq!(role.is_some(), member, "{group}");
    }
    assert_eq!(access(&db, "acme/missing", user).await, None);
}

/// Membership is inherited by subgroups only.
pub async fn a_member_of_a_subgroup_is_not_a_member_of_its_parent(config: &config::Database) {
    let db = migrated(config).await;
    db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    db.create_group(&path("acme/team"), Visibility::Private).await.unwrap();
    let user = db.create_user("tim").await.unwrap();
    db.add_member(&path("acme/team"), user, Role::Guest).await.unwrap();
    assert!(access(&db, "acme/team", user).await.unwrap().role.is_some());
    assert!(access(&db, "acme", user).await.unwrap().role.is_none());
}

/// Returns the path and visibility of the group that owns a repository, and the user's role in it.
async fn owner_of(
    db: &Db,
    name: &str,
    user: Option<UserId>,
) -> Option<(String, Visibility, Option<Role>)> {
    let access = db.access_to_repository(&name.parse().unwrap(), user).await.unwrap()?;
    let (path,): (String,) = sqlx::query_as("SELECT path FROM groups WHERE id = $1")
        .bind(access.group.0)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    Some((path, access.visibility, access.role))
}

/// Only whole path segments match.
pub async fn a_repository_belongs_to_the_group_with_the_longest_matching_path(
    config: &config::Database,
) {
    let db = migrated(config).await;
    for group in ["acme", "acme/team", "acme/team/tools"] {
        db.create_group(&path(group), Visibility::Private).await.unwrap();
    }
    for (repository, owner) in [
        ("acme/app", Some("acme")),
        ("acme/team", Some("acme/team")),
        ("acme/team/app", Some("acme/team")),
        ("acme/team/app/nested", Some("acme/team")),
        ("acme/teams/app", Some("acme")),
        ("acme2/app", None),
        ("missing/acme", None),
    ] {
        let found = owner_of(&db, repository, None).await.map(|(path, ..)| path);
        assert_eq!(found.as_deref(), owner, "{repository}");
    }
}

/// See "Roles and permissions" in the documentation of GitLab.
pub async fn the_highest_inherited_role_and_the_visibility_of_the_repositorys_own_group_apply(
    config: &config::Database,
) {
    let db = migrated(config).await;
    db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    db.create_group(&path("acme/oss"), Visibility::Public).await.unwrap();
    let user = db.create_user("ann").await.unwrap();
    db.add_member(&path("acme"), user, Role::Maintainer).await.unwrap();
    db.add_member(&path("acme/oss"), user, Role::Guest).await.unwrap();
    let seen = async |name, user| {
        let (_, visibility, role) = owner_of(&db, name, user).await.unwrap();
        (visibility, role)
    };
    let maintainer = Some(Role::Maintainer);
    assert_eq!(seen("acme/oss/app", Some(user)).await, (Visibility::Public, maintainer));
    assert_eq!(seen("acme/oss/app", None).await, (Visibility::Public, None));
    assert_eq!(seen("acme/app", Some(user)).await, (Visibility::Private, maintainer));

    db.add_member(&path("acme"), user, Role::Reporter).await.unwrap();
    db.set_visibility(&path("acme/oss"), Visibility::Private).await.unwrap();
    let reporter = Some(Role::Reporter);
    assert_eq!(seen("acme/oss/app", Some(user)).await, (Visibility::Private, reporter));
    let missing = db.set_visibility(&path("missing"), Visibility::Public).await.unwrap_err();
    assert_eq!(missing.to_string(), "group `missing` does not exist");
}

/// The error names the missing or existing path.
pub async fn a_group_needs_an_existing_parent_and_an_unused_path(config: &config::Database) {
    let db = migrated(config).await;
    let orphan = db.create_group(&path("acme/team"), Visibility::Private).await.unwrap_err();
    assert_eq!(orphan.to_string(), "group `acme` does not exist");
    assert_eq!(db.user_id("bob").await.unwrap_err().to_string(), "user `bob` does not exist");
    db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    assert!(
        matches!(db.create_group(&path("Acme"), Visibility::Private).await, Err(DbError::Exists(path)) if path == "acme")
    );
}

/// Its text is compared exactly.
pub async fn a_token_is_found_by_its_text_but_stored_as_a_hash(config: &config::Database) {
    let db = migrated(config).await;
    let user = db.create_user("ann").await.unwrap();
    db.add_token("glpat-secret", user, "laptop").await.unwrap();
    let owner = db.token_owner("glpat-secret").await.unwrap().unwrap();
    assert_eq!((owner.user, owner.username.as_str()), (user, "ann"));
    assert_eq!(db.token_owner("glpat-secreT").await.unwrap(), None);
    let (hash,): (String,) =
        sqlx::query_as("SELECT hash FROM tokens").fetch_one(&db.pool).await.unwrap();
    assert!(!hash.contains("secret"));
}

/// They are rejected at once.
pub async fn expired_and_revoked_tokens_have_no_owner(config: &config::Database) {
    let db = migrated(config).await;
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

/// Other groups do not see it, although all groups share its object.
pub async fn a_blob_is_visible_only_to_the_groups_it_was_committed_for(config: &config::Database) {
    let db = migrated(config).await;
    let acme = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    let globex = db.create_group(&path("globex"), Visibility::Private).await.unwrap();
    let digest = Digest::of(b"layer");
    db.commit_blob(&digest, 5, &[acme]).await.unwrap();
    assert_eq!(db.linked_blob(acme, &digest).await.unwrap(), Some(5));
    assert_eq!(db.linked_blob(globex, &digest).await.unwrap(), None);
    assert_eq!(db.stored_blob(&digest).await.unwrap(), Some(5));
    db.commit_blob(&digest, 5, &[acme, globex]).await.unwrap();
    assert_eq!(db.linked_blob(globex, &digest).await.unwrap(), Some(5));
}

/// Commits a manifest and points a tag at it.
async fn tagged(db: &Db, group: GroupId, tag: &str, stored: &StoredManifest, check: (bool, i64)) {
    db.commit_manifest(group, &image(), stored).await.unwrap();
    let (tag, (general, at)) = (tag.parse().unwrap(), check);
    let StoredManifest { digest, media_type, .. } = stored;
    let image = &image();
    let check = TagCheck { group, image, tag: &tag, digest, media_type, general, at };
    db.point_tag(check).await.unwrap();
}

/// Clients that resolved the tag before it moved can still pull.
pub async fn a_moved_tag_keeps_its_previous_manifest_available_by_digest(
    config: &config::Database,
) {
    let db = migrated(config).await;
    let acme = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    let tag: Tag = "latest".parse().unwrap();
    let (old, new) = (manifest(b"old"), manifest(b"newer"));
    tagged(&db, acme, "latest", &old, (true, 1)).await;
    tagged(&db, acme, "latest", &new, (false, 2)).await;
    let expected = TaggedManifest { manifest: new, general: false, checked_at: 2 };
    assert_eq!(db.tagged_manifests(acme, &image(), &tag).await.unwrap(), [expected]);
    assert_eq!(db.linked_manifest(acme, &image(), &old.digest).await.unwrap(), Some(old));
}

/// Old docker clients that do not understand indexes receive a different manifest than new ones.
pub async fn a_tag_has_one_manifest_per_media_type_with_the_latest_first(
    config: &config::Database,
) {
    let db = migrated(config).await;
    let acme = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    let tag: Tag = "latest".parse().unwrap();
    let single = StoredManifest { media_type: "single".into(), ..manifest(b"single") };
    let index = StoredManifest { media_type: "index".into(), ..manifest(b"index") };
    for (stored, check) in
        [(&single, (true, 1)), (&index, (true, 3)), (&single, (false, 4)), (&index, (true, 2))]
    {
        tagged(&db, acme, "latest", stored, check).await;
    }
    let found = db.tagged_manifests(acme, &image(), &tag).await.unwrap();
    let expected = [
        TaggedManifest { manifest: single, general: true, checked_at: 4 },
        TaggedManifest { manifest: index, general: true, checked_at: 2 },
    ];
    assert_eq!(found, expected, "a manifest stays general until the tag moves");
}

/// Its tags have one manifest each.
pub async fn tags_of_the_second_schema_keep_their_manifests(config: &config::Database) {
    let db = Db::open(config).await.unwrap();
    db.migrate_to(Some(2)).await.unwrap();
    let digest = Digest::of(b"x").to_string();
    for sql in [
        "INSERT INTO groups (id, path, enabled, created_at) VALUES (1, 'acme', 1, 0)".to_owned(),
        format!("INSERT INTO manifests VALUES ('{digest}', 1, 0)"),
        format!("INSERT INTO manifest_links VALUES (1, 'library/alpine', '{digest}', 'a/b', 0, 0)"),
        format!("INSERT INTO tags VALUES (1, 'library/alpine', 'latest', '{digest}', 7)"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&db.pool).await.unwrap();
    }
    db.migrate().await.unwrap();
    let found =
        db.tagged_manifests(GroupId(1), &image(), &"latest".parse().unwrap()).await.unwrap();
    let manifest = StoredManifest { media_type: "a/b".into(), ..manifest(b"x") };
    assert_eq!(found, [TaggedManifest { manifest, general: true, checked_at: 7 }]);
}

/// They are served while the upstream is unavailable.
pub async fn a_limited_number_of_recent_listings_is_kept_per_image(config: &config::Database) {
    let db = migrated(config).await;
    let acme = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    for listing in ["old", "new"] {
        db.remember_listing(acme, &image(), "tags?", listing).await.unwrap();
    }
    assert_eq!(db.listing(acme, &image(), "tags?").await.unwrap().as_deref(), Some("new"));
    assert_eq!(db.listing(GroupId(acme.0 + 1), &image(), "tags?").await.unwrap(), None);
    sqlx::query("UPDATE listings SET fetched_at = 0").execute(&db.pool).await.unwrap();
    for n in 0..32 {
        db.remember_listing(acme, &image(), &format!("tags?n={n}"), "part").await.unwrap();
    }
    assert_eq!(db.listing(acme, &image(), "tags?").await.unwrap(), None, "the oldest was removed");
    assert!(db.listing(acme, &image(), "tags?n=0").await.unwrap().is_some());
}

/// Knowing the digest does not grant access.
pub async fn a_manifest_is_invisible_to_other_groups_and_images(config: &config::Database) {
    let db = migrated(config).await;
    let acme = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    let stored = manifest(b"manifest");
    db.commit_manifest(acme, &image(), &stored).await.unwrap();
    let other: RepositoryName = "library/nginx".parse().unwrap();
    assert_eq!(db.linked_manifest(acme, &other, &stored.digest).await.unwrap(), None);
    let other_group = GroupId(acme.0 + 1);
    assert_eq!(db.linked_manifest(other_group, &image(), &stored.digest).await.unwrap(), None);
}

/// SQLite allows only one writer at a time.
pub async fn fifty_concurrent_commits_all_succeed(config: &config::Database) {
    let db = migrated(config).await;
    let group = db.create_group(&path("acme"), Visibility::Private).await.unwrap();
    let commits = (0..50_u64).map(|number| {
        let (db, content) = (db.clone(), number.to_be_bytes());
        tokio::spawn(async move {
            let (blob, shared) = (Digest::of(&content), Digest::of(b"shared"));
            db.commit_blob(&blob, number, &[group]).await.unwrap();
            db.commit_blob(&shared, 6, &[group]).await.unwrap();
            tagged(&db, group, "latest", &manifest(&content), (true, 1)).await;
            assert_eq!(db.linked_blob(group, &blob).await.unwrap(), Some(number));
        })
    });
    assert!(join_all(commits).await.into_iter().all(|commit| commit.is_ok()));
    let tag = "latest".parse().unwrap();
    assert!(!db.tagged_manifests(group, &image(), &tag).await.unwrap().is_empty());
}
