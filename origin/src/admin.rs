//! The operator's commands: groups, users, members, tokens, and the registry's certificate.

use anyhow::{Context as _, Result};
use gitlab::group_path::GroupPath;

use crate::access::{Role, Visibility};
use crate::auth::{certificate, key, personal};
use crate::config::{Config, ExposeSecret as _, SecretString};
use crate::db::{Db, DbError};
use crate::maintenance::check::{self, Options};
use crate::maintenance::progress::Progress;
use crate::store::Store;

/// Opens the Cell's database and migrates it.
///
/// # Errors
/// The database cannot be used.
pub async fn open(config: &Config) -> Result<Db> {
    let db = Db::open(&config.database).await.context("[database] url")?;
    db.migrate().await?;
    Ok(db)
}

/// Compares the database with the object store, and prints one line per defect to standard output.
/// Returns `false` if a defect remains.
///
/// # Errors
/// The database or the store fails.
pub async fn check(config: &Config, repair: bool, quick: bool) -> Result<bool> {
    let db = Db::open(&config.database).await.context("[database] url")?;
    // With an empty database in place of a lost one, every object would look orphaned.
    db.expect_current().await.context("[database] url: not created by `origin migrate`")?;
    let store = Store::open(&config.store)?;
    store.claim(config.cell.id).await?;
    let options = Options { repair, quick, grace: config.store.orphan_grace };
    let progress = Progress::new();
    let checked = check::run(db, store, options, &progress).await;
    progress.finish();
    let summary = checked?;
    println!("{summary}");
    Ok(summary.is_clean())
}

/// Creates a group; an existing group stays as it is.
///
/// # Errors
/// The parent group does not exist, or the database fails.
pub async fn create_group(db: &Db, path: &GroupPath, visibility: Visibility) -> Result<()> {
    allow_existing(db.create_group(path, visibility).await)
        .with_context(|| format!("cannot create the group {path}"))
}

/// Changes a group's visibility.
///
/// # Errors
/// The group does not exist, or the database fails.
pub async fn set_visibility(db: &Db, path: &GroupPath, to: Visibility) -> Result<()> {
    Ok(db.set_visibility(path, to).await?)
}

/// Creates a user; an existing user stays as it is.
///
/// # Errors
/// The database fails.
pub async fn create_user(db: &Db, username: &str) -> Result<()> {
    allow_existing(db.create_user(username).await)
        .with_context(|| format!("cannot create the user {username}"))
}

/// Makes a user a member of a group and its subgroups, or changes the role of an existing member.
///
/// # Errors
/// The group or the user does not exist, or the database fails.
pub async fn add_member(db: &Db, group: &GroupPath, username: &str, role: Role) -> Result<()> {
    let user = db.user_id(username).await?;
    Ok(db.add_member(group, user, role).await?)
}

/// Creates a personal access token. Only its hash is stored, so it cannot be printed again.
///
/// # Errors
/// The user does not exist, or the database fails.
pub async fn create_token(
    config: &Config,
    db: &Db,
    username: &str,
    name: &str,
) -> Result<SecretString> {
    let user = db.user_id(username).await?;
    let token = personal::mint(config.cell.id, user)?;
    db.add_token(token.expose_secret(), user, name).await?;
    Ok(token)
}

/// Returns the certificate that the Cell's container registry must trust, in PEM; a missing signing
/// key is created.
///
/// # Errors
/// The key cannot be read or created.
pub fn registry_certificate(config: &Config) -> Result<String> {
    let key = key::load_or_create(&config.auth.signing_key)?;
    certificate::self_signed(&key, &config.auth.issuer)
}

fn allow_existing<T>(created: Result<T, DbError>) -> Result<(), DbError> {
    match created {
        Ok(_) | Err(DbError::Exists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
