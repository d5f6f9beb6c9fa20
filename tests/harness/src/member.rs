//! Groups and users, created as the origin's commands create them.

use anyhow::Result;
use origin::access::{Role, Visibility};
use origin::admin;
use origin::config::{Config, ExposeSecret as _};
use origin::db::Db;

use crate::client::Login;

/// Creates a private group and a guest of it, in the database of this configuration, and returns
/// the guest's login. What exists stays.
///
/// # Errors
/// The database fails.
pub async fn guest(config: &Config, group: &str, username: &str) -> Result<Login> {
    member(config, &admin::open(config).await?, group, username, Role::Guest).await
}

/// Creates a private group and a member of it with this role, and returns the member's login. What
/// exists stays.
///
/// # Errors
/// The database fails.
pub async fn member(
    config: &Config,
    db: &Db,
    group: &str,
    username: &str,
    role: Role,
) -> Result<Login> {
    admin::create_group(db, &group.parse()?, Visibility::Private).await?;
    admin::create_user(db, username).await?;
    admin::add_member(db, &group.parse()?, username, role).await?;
    let token = admin::create_token(config, db, username, "test").await?;
    Ok(Login { username: username.to_owned(), password: token.expose_secret().to_owned() })
}
