//! What an operator does to a Cell from its command line: groups, users, members, tokens, and what
//! its container registry needs.

use anyhow::{Context as _, Result};

use crate::auth::{certificate, key, personal};
use crate::config::{Config, ExposeSecret as _, SecretString};
use crate::db::groups::{Role, Visibility};
use crate::db::{Db, DbError};
use crate::maintenance::check::{self, Options};
use crate::maintenance::progress::Progress;
use crate::store::Store;

/// Opens the Cell's database, its schema brought up to date.
///
/// # Errors
/// The database cannot be used.
pub async fn open(config: &Config) -> Result<Db> {
    let db = Db::open(&config.database).await.context("[database] url")?;
    db.migrate().await?;
    Ok(db)
}

/// Checks what is stored, telling each defect on standard output; whether nothing stays wrong.
///
/// # Errors
/// The database or the store fails.
pub async fn check(config: &Config, repair: bool, quick: bool) -> Result<bool> {
    let db = Db::open(&config.database).await.context("[database] url")?;
    // An empty database in the place of a lost one would make an orphan of every object.
    db.expect_current()
        .await
        .context("[database] url: not a database that `origin migrate` made")?;
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

/// Makes a group; one that is there stays as it is.
///
/// # Errors
/// The path is malformed, the group above is missing, or the database fails.
pub async fn create_group(db: &Db, path: &str, visibility: Visibility) -> Result<()> {
    anyhow::ensure!(crate::http::action::is_group_path(path), "`{path}` is not a group's path");
    allow_existing(db.create_group(path, visibility).await)
        .with_context(|| format!("cannot make the group {path}"))
}

/// Changes who sees a group's part of the container registry.
///
/// # Errors
/// The group is missing, or the database fails.
pub async fn set_visibility(db: &Db, path: &str, to: Visibility) -> Result<()> {
    Ok(db.set_visibility(path, to).await?)
}

/// Makes a user; one that is there stays as it is.
///
/// # Errors
/// The database fails.
pub async fn create_user(db: &Db, username: &str) -> Result<()> {
    allow_existing(db.create_user(username).await)
        .with_context(|| format!("cannot make the user {username}"))
}

/// Makes a user a member of a group and of the groups below it, or gives a member another role.
///
/// # Errors
/// Either is missing, or the database fails.
pub async fn add_member(db: &Db, group: &str, username: &str, role: Role) -> Result<()> {
    let user = db.user_id(username).await?;
    Ok(db.add_member(group, user, role).await?)
}

/// Makes a personal access token; its text is shown now and never again.
///
/// # Errors
/// The user is missing, or the database fails.
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

/// What the Cell's container registry trusts, in PEM; the key is made where it is missing.
///
/// # Errors
/// The key cannot be read or made.
pub fn registry_certificate(config: &Config) -> Result<String> {
    let key = key::load_or_make(&config.auth.signing_key)?;
    certificate::of(&key, &config.auth.issuer)
}

fn allow_existing<T>(made: Result<T, DbError>) -> Result<(), DbError> {
    match made {
        Ok(_) | Err(DbError::Exists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
