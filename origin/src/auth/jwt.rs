//! JWTs this Cell issues and accepts (RFC 7519; claims after the CNCF token specification).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key::SigningKey;
use super::known::Verified;
use super::{DEFAULT_ORGANIZATION, Identity, Service};
use crate::config::{Config, SecretString};
use crate::db::groups::UserId;
use crate::error::Error;

/// Clocks of a Cell's machines differ by this much at most, in seconds.
const LEEWAY: u64 = 5;

/// One repository a token speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The repository's full path.
    pub name: String,
    /// What was granted.
    pub actions: Vec<String>,
    /// Where the repository belongs.
    pub meta: AccessMeta,
}

/// What GitLab's tokens say of a repository besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessMeta {
    /// The organization of the repository's group.
    pub organization_id: u64,
}

impl AccessEntry {
    /// A repository and what may be done with it.
    #[must_use]
    pub fn repository(name: String, actions: Vec<String>) -> Self {
        let meta = AccessMeta { organization_id: DEFAULT_ORGANIZATION };
        Self { resource_type: "repository".to_owned(), name, actions, meta }
    }
}

/// The claims; `cell_id` lets the edge route a bare `/v2/`, and proves nothing there. Without a
/// user it is anybody's.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    aud: &'static str,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    cell_id: u64,
    organization_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    access: Vec<AccessEntry>,
}

/// What of the claims says who a user of the dependency proxy is.
#[derive(Debug, Deserialize)]
struct Owner {
    sub: String,
    cell_id: u64,
    user_id: i64,
    exp: u64,
}

/// A signed token and what the client is told of it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The JWT.
    pub token: SecretString,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// When it was signed.
    pub issued_at: SystemTime,
}

/// Signs and verifies with one key.
pub struct Jwt {
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    issuer: String,
    cell: u64,
    life: Duration,
    jwks: Value,
}

impl Jwt {
    pub(super) fn new(config: &Config, key: &SigningKey) -> anyhow::Result<Self> {
        let (x, y) = coordinates(&key.point).context("the key's public point is malformed")?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[Service::DependencyProxy.as_str()]);
        validation.set_issuer(&[&config.auth.issuer]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Ok(Self {
            signing: EncodingKey::from_ec_der(&key.pkcs8),
            verifying: DecodingKey::from_ec_components(&x, &y)?,
            jwks: json!({"keys": [{
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                "kid": key.id, "x": x, "y": y,
            }]}),
            header: Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::ES256) },
            validation,
            issuer: config.auth.issuer.clone(),
            cell: config.cell.id,
            life: config.auth.token_life,
        })
    }

    pub(super) fn jwks(&self) -> &Value {
        &self.jwks
    }

    pub(super) fn issue(
        &self,
        service: Service,
        identity: Option<&Identity>,
        access: Vec<AccessEntry>,
    ) -> Result<Issued, Error> {
        let issued_at = SystemTime::now();
        let now = issued_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: &self.issuer,
            sub: identity.map(|identity| &*identity.username),
            aud: service.as_str(),
            jti: format!("{:032x}", rand::random::<u128>()),
            iat: now,
            nbf: now.saturating_sub(LEEWAY),
            exp: now + self.life.as_secs(),
            cell_id: self.cell,
            organization_id: DEFAULT_ORGANIZATION,
            user_id: identity.map(|identity| identity.user.0),
            access,
        };
        let token = SecretString::from(encode(&self.header, &claims, &self.signing)?);
        Ok(Issued { token, expires_in: self.life.as_secs(), issued_at })
    }

    /// A token that is not good is as if there were none: the client fetches another.
    pub(super) fn verify(&self, token: &str) -> Result<Verified, Error> {
        let claims = decode::<Owner>(token, &self.verifying, &self.validation)
            .map_err(|_| Error::Unauthenticated)?
            .claims;
        // Two Cells could share a key by mistake; user 1 here is not user 1 there.
        if claims.cell_id != self.cell {
            return Err(Error::Unauthenticated);
        }
        let identity = Identity { user: UserId(claims.user_id), username: claims.sub.into() };
        Ok(Verified { identity, until: claims.exp.saturating_add(LEEWAY) })
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn coordinates(point: &[u8]) -> Option<(String, String)> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    Some((URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
}
