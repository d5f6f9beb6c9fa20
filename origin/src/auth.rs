//! Authentication: turns credentials into identities, and issues tokens. What an identity may do is
//! decided by `access`.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::jwk::JwkSet;

use crate::config::{Config, ExposeSecret as _};
use crate::db::Db;

use jwt::JwtSigner;
use verified::VerifiedTokens;

pub use credential::Credential;
pub use error::AuthError;
pub use identity::Identity;
pub use jwt::{AccessEntry, AccessMeta, Issued};
pub use service::Service;

pub mod certificate;
mod credential;
mod error;
mod identity;
mod jwt;
pub mod key;
pub mod personal;
mod service;
mod verified;

/// Authenticates requests and issues JWTs.
#[derive(Debug)]
pub struct Authenticator {
    db: Db,
    jwt: JwtSigner,
    verified: VerifiedTokens,
    cell: u64,
}

impl Authenticator {
    /// Creates an authenticator with the key that the configuration names.
    ///
    /// # Errors
    /// The key cannot be loaded or created.
    pub fn new(config: &Config, db: Db) -> anyhow::Result<Self> {
        let key = key::load_or_create(&config.auth.signing_key)?;
        let jwt = JwtSigner::new(config, &key)?;
        Ok(Self { db, jwt, verified: VerifiedTokens::new(), cell: config.cell.id })
    }

    /// Authenticates a request to the registry API.
    ///
    /// # Errors
    /// The credential is missing, malformed or invalid, or the database fails.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        match Credential::from_headers(headers)? {
            Some(Credential::Bearer(token)) => self.bearer(token.expose_secret()),
            Some(Credential::Basic(password)) => {
                self.token_owner(password.expose_secret()).await?.ok_or(AuthError::Unauthenticated)
            }
            None => Err(AuthError::Unauthenticated),
        }
    }

    /// Authenticates a request for a JWT. Another Cell's token differs from a wrong password: the
    /// edge chose this Cell because of the requested scopes, so the client made no mistake.
    ///
    /// # Errors
    /// [`AuthError::WrongCredential`], [`AuthError::ForeignCredential`], a malformed header, or the
    /// database fails.
    pub async fn log_in(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        let Some(Credential::Basic(password)) = Credential::from_headers(headers)? else {
            return Err(AuthError::WrongCredential);
        };
        let password = password.expose_secret();
        if let Some(identity) = self.token_owner(password).await? {
            return Ok(identity);
        }
        match personal::cell_of(password) {
            Some(cell) if cell != self.cell => Err(AuthError::ForeignCredential),
            _ => Err(AuthError::WrongCredential),
        }
    }

    /// Authenticates a request for a JWT that may be anonymous. `None` means anonymous, which includes
    /// the owner of another Cell's token.
    ///
    /// # Errors
    /// [`AuthError::WrongCredential`], a malformed header, or the database fails.
    pub async fn log_in_optional(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Identity>, AuthError> {
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        match self.log_in(headers).await {
            Err(AuthError::ForeignCredential) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Signs a JWT for an identity, or an anonymous one.
    ///
    /// # Errors
    /// Signing fails.
    pub fn issue(
        &self,
        service: Service,
        identity: Option<&Identity>,
        access: Vec<AccessEntry>,
    ) -> Result<Issued, AuthError> {
        self.jwt.issue(service, identity, access)
    }

    /// The public keys, as a JWK Set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &JwkSet {
        self.jwt.jwks()
    }

    fn bearer(&self, token: &str) -> Result<Identity, AuthError> {
        if let Some(identity) = self.verified.identity(token) {
            return Ok(identity);
        }
        let verified = self.jwt.verify(token)?;
        self.verified.insert(token, verified.clone());
        Ok(verified.identity)
    }

    async fn token_owner(&self, token: &str) -> Result<Option<Identity>, AuthError> {
        let owner = self.db.token_owner(token).await?;
        Ok(owner.map(|owner| Identity { user: owner.user, username: owner.username.into() }))
    }
}

#[cfg(test)]
mod tests;
