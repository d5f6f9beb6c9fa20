//! The JWTs that this Cell issues and accepts (RFC 7519; the claims follow the CNCF distribution token
//! specification).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::error::AuthError;
use super::identity::{DEFAULT_ORGANIZATION, Identity};
use super::key::SigningKey;
use super::service::Service;
use super::verified::VerifiedToken;
use crate::access::UserId;
use crate::config::{Config, SecretString};

/// The largest clock difference within a Cell, in seconds.
const LEEWAY: u64 = 5;

/// The actions that a token grants on one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// Always `repository`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The repository's full path.
    pub name: String,
    /// The granted actions.
    pub actions: Vec<String>,
    /// GitLab's additions.
    pub meta: AccessMeta,
}

/// What GitLab adds to an [`AccessEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessMeta {
    /// The organization of the repository's group.
    pub organization_id: u64,
}

impl AccessEntry {
    /// Creates an entry.
    #[must_use]
    pub fn repository(name: String, actions: Vec<String>) -> Self {
        let meta = AccessMeta { organization_id: DEFAULT_ORGANIZATION };
        Self { resource_type: "repository".to_owned(), name, actions, meta }
    }
}

/// The claims of an issued token. `cell_id` lets the edge route a bare `/v2/`; the edge does not verify
/// it. An anonymous token has no `sub` and no `user_id`.
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

/// The claims that identify a user of the dependency proxy.
#[derive(Debug, Deserialize)]
struct UserClaims {
    sub: String,
    cell_id: u64,
    user_id: i64,
    exp: u64,
}

/// A signed token and its metadata.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The JWT.
    pub token: SecretString,
    /// The token's lifetime in seconds.
    pub expires_in: u64,
    /// When the token was signed.
    pub issued_at: SystemTime,
}

/// Signs and verifies tokens with one key.
pub(super) struct JwtSigner {
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    issuer: String,
    cell: u64,
    lifetime: Duration,
    jwks: JwkSet,
}

impl JwtSigner {
    pub(super) fn new(config: &Config, key: &SigningKey) -> anyhow::Result<Self> {
        let signing = EncodingKey::from_ec_der(key.pair.serialized_der());
        let jwk = jwk(&signing, &key.id)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[Service::DependencyProxy.as_str()]);
        validation.set_issuer(&[&config.auth.issuer]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Ok(Self {
            signing,
            verifying: DecodingKey::from_jwk(&jwk)?,
            jwks: JwkSet { keys: vec![jwk] },
            header: Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::ES256) },
            validation,
            issuer: config.auth.issuer.clone(),
            cell: config.cell.id,
            lifetime: config.auth.token_life,
        })
    }

    pub(super) fn jwks(&self) -> &JwkSet {
        &self.jwks
    }

    pub(super) fn issue(
        &self,
        service: Service,
        identity: Option<&Identity>,
        access: Vec<AccessEntry>,
    ) -> Result<Issued, AuthError> {
        let issued_at = SystemTime::now();
        let now = issued_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: &self.issuer,
            sub: identity.map(|identity| &*identity.username),
            aud: service.as_str(),
            jti: format!("{:032x}", rand::random::<u128>()),
            iat: now,
            nbf: now.saturating_sub(LEEWAY),
            exp: now + self.lifetime.as_secs(),
            cell_id: self.cell,
            organization_id: DEFAULT_ORGANIZATION,
            user_id: identity.map(|identity| identity.user.0),
            access,
        };
        let token = SecretString::from(encode(&self.header, &claims, &self.signing)?);
        Ok(Issued { token, expires_in: self.lifetime.as_secs(), issued_at })
    }

    /// Verifies a token. An invalid one counts as missing, so that the client requests another.
    pub(super) fn verify(&self, token: &str) -> Result<VerifiedToken, AuthError> {
        let claims = decode::<UserClaims>(token, &self.verifying, &self.validation)
            .map_err(|_| AuthError::Unauthenticated)?
            .claims;
        // Two Cells may share a key by mistake, and user 1 here is not user 1 there.
        if claims.cell_id != self.cell {
            return Err(AuthError::Unauthenticated);
        }
        let identity = Identity { user: UserId(claims.user_id), username: claims.sub.into() };
        Ok(VerifiedToken { identity, expires_at: claims.exp.saturating_add(LEEWAY) })
    }
}

impl fmt::Debug for JwtSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSigner").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Returns the public key as a JWK (RFC 7517).
fn jwk(key: &EncodingKey, id: &str) -> Result<Jwk, jsonwebtoken::errors::Error> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256)?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_id = Some(id.to_owned());
    Ok(jwk)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::key::tests::fixed;

    #[test]
    fn the_published_key_has_the_members_that_registries_read() {
        let key = fixed();
        let signing = EncodingKey::from_ec_der(key.pair.serialized_der());
        let published = serde_json::to_value(jwk(&signing, &key.id).unwrap()).unwrap();
        // openssl pkey -pubout -outform DER | tail -c 64
        let expected = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
            "kid": "65NC:DGWH:3LCV:DWVX:WZ4W:DIPZ:NAFQ:2Z7G:VJYE:VGPX:FMZG:XRKL",
            "x": "piL6xmty7aH9hZfFDgLislkKOQNHOuPjLETgOtVGNf0",
            "y": "JCllLEaA5yP0PULBSr48iUVJ6VWwe3f_r4rMfddNnNg",
        });
        assert_eq!(published, expected);
    }
}
