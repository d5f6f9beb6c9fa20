//! Who is asking: credentials in, an identity out. What it may do is policy's to say.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::config::{Config, ExposeSecret as _, SecretString};
use crate::db::Db;
use crate::db::groups::UserId;
use crate::error::Error;

pub use jwt::{AccessEntry, AccessMeta, Issued, Jwt};
pub use service::Service;

pub mod certificate;
mod jwt;
pub mod key;
mod known;
pub mod personal;
mod service;

/// The organization every group of a Cell belongs to, until organizations are modelled.
const DEFAULT_ORGANIZATION: u64 = 1;

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's key in this Cell.
    pub user: UserId,
    /// The user's name.
    pub username: Arc<str>,
}

/// What an `Authorization` header holds.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A user name, which is not looked at, and a token as password (RFC 7617).
    Basic(SecretString),
    /// A JWT of ours, presumably (RFC 6750).
    Bearer(SecretString),
}

impl Credential {
    /// Reads the header. `None`: there is none.
    ///
    /// # Errors
    /// [`Error::BadAuthorization`]: several, another scheme, or one that cannot be decoded.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = all.next() else { return Ok(None) };
        if all.next().is_some() {
            return Err(Error::BadAuthorization("there are several"));
        }
        let text = header.to_str().map_err(|_| Error::BadAuthorization("not ASCII"))?;
        let (scheme, value) =
            text.trim().split_once(' ').ok_or(Error::BadAuthorization("no value"))?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Some(Self::Bearer(SecretString::from(value.trim().to_owned()))));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::BadAuthorization("neither Basic nor Bearer"));
        }
        let decoded =
            STANDARD.decode(value.trim()).ok().and_then(|raw| String::from_utf8(raw).ok());
        let pair = decoded.ok_or(Error::BadAuthorization("Basic, but not base64 of text"))?;
        let (_, password) =
            pair.split_once(':').ok_or(Error::BadAuthorization("Basic, but without a colon"))?;
        Ok(Some(Self::Basic(SecretString::from(password.to_owned()))))
    }
}

/// Turns credentials into identities.
#[derive(Debug)]
pub struct Authenticator {
    db: Db,
    jwt: Jwt,
    known: known::Known,
    cell: u64,
}

impl Authenticator {
    /// With the key the configuration names.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn new(config: &Config, db: Db) -> anyhow::Result<Self> {
        let key = key::load_or_make(&config.auth.signing_key)?;
        let jwt = Jwt::new(config, &key)?;
        Ok(Self { db, jwt, known: known::Known::new(), cell: config.cell.id })
    }

    /// Who sends this request to the registry.
    ///
    /// # Errors
    /// Nobody ([`Error::Unauthenticated`]), or a bad credential.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Error> {
        match Credential::of(headers)? {
            Some(Credential::Bearer(token)) => self.bearer(token.expose_secret()),
            Some(Credential::Basic(password)) => {
                self.owner(password.expose_secret()).await?.ok_or(Error::Unauthenticated)
            }
            None => Err(Error::Unauthenticated),
        }
    }

    /// Who asks for a JWT. A token that names another Cell is no wrong password: here it proves
    /// nothing, and the edge sent it here because of what was asked for.
    ///
    /// # Errors
    /// [`Error::WrongCredential`], [`Error::ForeignCredential`], or the database fails.
    pub async fn log_in(&self, headers: &HeaderMap) -> Result<Identity, Error> {
        let Some(Credential::Basic(password)) = Credential::of(headers)? else {
            return Err(Error::WrongCredential);
        };
        let password = password.expose_secret();
        if let Some(identity) = self.owner(password).await? {
            return Ok(identity);
        }
        match personal::cell_of(password) {
            Some(cell) if cell != self.cell => Err(Error::ForeignCredential),
            _ => Err(Error::WrongCredential),
        }
    }

    /// Who asks for a JWT where anybody may. `None`: nobody this Cell knows. A token of another
    /// Cell takes nothing away: its owner gets what anybody gets.
    ///
    /// # Errors
    /// [`Error::WrongCredential`], or the database fails.
    pub async fn log_in_or_not(&self, headers: &HeaderMap) -> Result<Option<Identity>, Error> {
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        match self.log_in(headers).await {
            Err(Error::ForeignCredential) => Ok(None),
            known => known.map(Some),
        }
    }

    /// Signs a JWT for an identity, or for anybody.
    ///
    /// # Errors
    /// Signing fails.
    pub fn issue(
        &self,
        service: Service,
        identity: Option<&Identity>,
        access: Vec<AccessEntry>,
    ) -> Result<Issued, Error> {
        self.jwt.issue(service, identity, access)
    }

    /// The public keys, as a JWK Set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &serde_json::Value {
        self.jwt.jwks()
    }

    fn bearer(&self, token: &str) -> Result<Identity, Error> {
        if let Some(identity) = self.known.owner(token) {
            return Ok(identity);
        }
        let verified = self.jwt.verify(token)?;
        self.known.remember(token, verified.clone());
        Ok(verified.identity)
    }

    async fn owner(&self, token: &str) -> Result<Option<Identity>, Error> {
        let owner = self.db.token_owner(token).await?;
        Ok(owner.map(|owner| Identity { user: owner.user, username: owner.username.into() }))
    }
}

#[cfg(test)]
mod tests;
