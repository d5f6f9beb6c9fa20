//! JWTs this Cell issues and accepts (RFC 7519; claims after the CNCF token specification).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key::SigningKey;
use super::{Identity, SERVICE};
use crate::config::{Config, Secret};
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
}

/// The claims. `cell_id` lets the edge route a bare `/v2/`; it proves nothing there.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    cell_id: u64,
    user_id: i64,
    access: Vec<AccessEntry>,
}

/// A signed token and what the client is told of it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The JWT.
    pub token: Secret,
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
        let id = Digest::of(&key.point).hex().chars().take(32).collect::<String>();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[SERVICE]);
        validation.set_issuer(&[&config.auth.issuer]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Ok(Self {
            signing: EncodingKey::from_ec_der(&key.pkcs8),
            verifying: DecodingKey::from_ec_components(&x, &y)?,
            jwks: json!({"keys": [{
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                "kid": id, "x": x, "y": y,
            }]}),
            header: Header { kid: Some(id), ..Header::new(Algorithm::ES256) },
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
        identity: &Identity,
        access: Vec<AccessEntry>,
    ) -> Result<Issued, Error> {
        let issued_at = SystemTime::now();
        let now = issued_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: identity.username.clone(),
            aud: SERVICE.to_owned(),
            jti: format!("{:032x}", rand::random::<u128>()),
            iat: now,
            nbf: now.saturating_sub(LEEWAY),
            exp: now + self.life.as_secs(),
            cell_id: self.cell,
            user_id: identity.user.0,
            access,
        };
        let token = Secret::new(encode(&self.header, &claims, &self.signing)?);
        Ok(Issued { token, expires_in: self.life.as_secs(), issued_at })
    }

    /// A token that is not good is as if there were none: the client fetches another.
    pub(super) fn verify(&self, token: &str) -> Result<Identity, Error> {
        let claims = decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| Error::Unauthenticated)?
            .claims;
        // Two Cells could share a key by mistake; user 1 here is not user 1 there.
        if claims.cell_id != self.cell {
            return Err(Error::Unauthenticated);
        }
        Ok(Identity { user: UserId(claims.user_id), username: claims.sub })
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
