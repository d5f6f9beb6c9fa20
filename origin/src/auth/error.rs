//! Why a request could not be authenticated, or a token could not be issued.

use crate::db::DbError;

/// A failure of [`Authenticator`](super::Authenticator).
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// There is no credential, or a token that is expired, forged or another Cell's.
    #[error("authentication required")]
    Unauthenticated,
    /// The password is not a token of this Cell, or has been revoked.
    #[error("access denied: the password must be a valid access token")]
    WrongCredential,
    /// The password is a token of another Cell, which proves nothing here.
    #[error("the token belongs to another Cell and grants no access to the requested repository")]
    ForeignCredential,
    /// The `Authorization` header cannot be parsed.
    #[error("malformed Authorization header: {0}")]
    MalformedHeader(&'static str),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A token could not be signed.
    #[error("the token could not be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}
