//! Access tokens, stored as hashes.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Db, DbError, now_millis};
use crate::access::UserId;

/// The user a token authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOwner {
    /// The user's key.
    pub user: UserId,
    /// The user's name, for the JWT's `sub`.
    pub username: String,
}

impl Db {
    /// Stores the hash of a user's new token.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_token(&self, token: &str, user: UserId, name: &str) -> Result<(), DbError> {
        sqlx::query("INSERT INTO tokens (hash, user_id, name, created_at) VALUES ($1, $2, $3, $4)")
            .bind(hash(token))
            .bind(user.0)
            .bind(name)
            .bind(now_millis())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Looks up a token's owner; `None` if the token is unknown, expired or revoked.
    ///
    /// # Errors
    /// The database fails.
    pub async fn token_owner(&self, token: &str) -> Result<Option<TokenOwner>, DbError> {
        let wanted = hash(token);
        let row: Option<(String, i64, String)> = sqlx::query_as(
            "SELECT t.hash, u.id, u.username FROM tokens t JOIN users u ON u.id = t.user_id
             WHERE t.hash = $1 AND t.revoked_at IS NULL
               AND (t.expires_at IS NULL OR t.expires_at > $2)",
        )
        .bind(&wanted)
        .bind(now_millis())
        .fetch_optional(&self.pool)
        .await?;
        // The index compares byte by byte, so a comparison in constant time has the last word.
        Ok(row
            .filter(|(found, ..)| found.as_bytes().ct_eq(wanted.as_bytes()).into())
            .map(|(_, user, username)| TokenOwner { user: UserId(user), username }))
    }
}

/// Tokens contain at least 128 random bits, so their hash needs neither salt nor stretching.
fn hash(token: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
