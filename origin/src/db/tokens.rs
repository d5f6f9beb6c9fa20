//! Access tokens, known by their hash only.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::groups::UserId;
use super::{Db, DbError, now_millis};

/// The user a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOwner {
    /// The user's key.
    pub user: UserId,
    /// The user's name, for the JWT's `sub`.
    pub username: String,
}

impl Db {
    /// Stores a token's hash for a user.
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

    /// Who owns this token. `None`: nobody, or it has expired or was revoked.
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
        // An index compares byte by byte; the last word is a comparison that takes constant time.
        Ok(row
            .filter(|(found, ..)| found.as_bytes().ct_eq(wanted.as_bytes()).into())
            .map(|(_, user, username)| TokenOwner { user: UserId(user), username }))
    }
}

/// Tokens hold 128 random bits or more, so a plain hash needs no salt and no stretching.
fn hash(token: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
