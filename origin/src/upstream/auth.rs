//! Authorisation at a registry (CNCF distribution token specification): a challenge names a token
//! endpoint; its token is cached and refreshed in the background before it expires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Challenge, RepositoryName};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::error::{ProtocolError, UpstreamError};
use super::guard::Guard;
use super::transport::{collect, send};
use crate::config::{self, ExposeSecret as _, Password};

pub(super) use token::Tokens;
use token::{Token, TokenKey};

mod token;

/// The longest accepted response of a token endpoint, in bytes; usual ones have a few kilobytes.
const MAX_BODY: usize = 256 * 1024;

/// Obtains the credentials for one registry. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Authenticator {
    client: Client,
    guard: Arc<Guard>,
    /// The configured user name and password as a header value, marked sensitive.
    basic: Option<HeaderValue>,
    /// A hash of `basic`: tokens are cached per login, and a cache key may be logged.
    login: [u8; 32],
    /// The last challenge of each repository, so that the next request carries a credential at once.
    challenges: moka::sync::Cache<RepositoryName, Challenge>,
    tokens: Tokens,
    /// The time limit for reading a token endpoint's response body.
    read_timeout: Duration,
}

impl Authenticator {
    pub(super) fn new(
        client: Client,
        guard: Arc<Guard>,
        config: &config::Registry,
        tokens: Tokens,
        read_timeout: Duration,
    ) -> Self {
        let basic = config.credential.as_ref().and_then(basic);
        let login = basic.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
        Self {
            client,
            guard,
            login: Sha256::digest(login).into(),
            basic,
            challenges: moka::sync::Cache::new(10_000),
            tokens,
            read_timeout,
        }
    }

    /// Returns the credential for the repository's last challenge, if there was one.
    pub(super) async fn known_credential(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        match self.challenges.get(repository) {
            Some(challenge) => self.credential(repository, &challenge).await,
            None => Ok(None),
        }
    }

    /// Forgets the repository's last challenge.
    pub(super) fn forget(&self, repository: &RepositoryName) {
        self.challenges.invalidate(repository);
    }

    /// Returns the credential to retry with after a challenge. `rejected` is the one that was sent
    /// before; if it is a token, it is not used again. `None`: no credential is configured.
    pub(super) async fn respond(
        &self,
        repository: &RepositoryName,
        challenge: Challenge,
        rejected: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        if let Some((key, rejected)) = self.token_key(repository, &challenge).zip(rejected) {
            self.tokens.forget(key, rejected).await;
        }
        let credential = self.credential(repository, &challenge).await?;
        // Only after it led to a credential: a challenge with a broken token endpoint, once remembered,
        // would delay the next request.
        self.challenges.insert(repository.clone(), challenge);
        Ok(credential)
    }

    async fn credential(
        &self,
        repository: &RepositoryName,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        let Some(key) = self.token_key(repository, challenge) else {
            return Ok(self.basic.clone());
        };
        // Also for a cached token: the cache is shared, and another upstream with the same login may
        // be allowed to use a realm that this one is not.
        self.guard.realm(&key.realm)?;
        let token = self.tokens.get(key.clone(), self.clone().fetch(key.clone())).await?;
        if token.wants_refreshing(Instant::now()) {
            self.tokens.refresh(key.clone(), &token, self.clone().fetch(key));
        }
        Ok(Some(token.header))
    }

    async fn fetch(self, key: TokenKey) -> Result<Token, UpstreamError> {
        let mut realm = self.guard.realm(&key.realm)?;
        {
            let mut query = realm.query_pairs_mut();
            query.extend_pairs(key.service.iter().map(|service| ("service", service)));
            query.append_pair("scope", &key.scope);
        }
        let mut request = self.client.get(realm);
        if let Some(basic) = &self.basic {
            request = request.header(AUTHORIZATION, basic.clone());
        }
        let response = send(request).await?;
        match response.status().as_u16() {
            200..=299 => {}
            429 => return Err(UpstreamError::of(&response)),
            status => return Err(UpstreamError::Token { status }),
        }
        let body = collect(response, MAX_BODY, self.read_timeout).await?;
        Ok(Token::parse(&body, Instant::now()).ok_or(ProtocolError::NoToken)?)
    }

    /// Returns `None` for a Basic challenge, which needs no token.
    fn token_key(&self, repository: &RepositoryName, challenge: &Challenge) -> Option<TokenKey> {
        let Challenge::Bearer { realm, service, scope } = challenge else { return None };
        let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
        Some(TokenKey { realm: realm.clone(), service: service.clone(), scope, login: self.login })
    }
}

fn basic(credential: &config::Credential) -> Option<HeaderValue> {
    let Password::Given(password) = &credential.password else { return None };
    let pair = STANDARD.encode(format!("{}:{}", credential.username, password.expose_secret()));
    token::sensitive(&format!("Basic {pair}"))
}
