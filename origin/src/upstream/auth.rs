//! Authorising at a registry: challenge → token, fetched once, kept, and fetched anew in the
//! background before it expires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Challenge, RepositoryName};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::guard::Guard;
use super::request::send;
use super::{UpstreamError, collect};
use crate::config::{self, ExposeSecret as _, Password};

pub(super) use token::Tokens;
use token::{Token, TokenKey};

mod token;

/// A token endpoint's answer is a few kilobytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Knows how each repository wants to be asked; cloned by reference.
#[derive(Debug, Clone)]
pub(super) struct Authenticator {
    client: Client,
    guard: Arc<Guard>,
    /// The configured user name and password, ready to send; marked sensitive.
    basic: Option<HeaderValue>,
    /// Tells one login from another without telling the login.
    login: [u8; 32],
    /// A repository's last challenge, so that the next request need not be refused first.
    challenges: moka::sync::Cache<RepositoryName, Challenge>,
    tokens: Tokens,
    /// How long a token may take to come once its endpoint answers.
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

    /// What to send at once, from what this repository asked for the last time.
    pub(super) async fn remembered(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        match self.challenges.get(repository) {
            Some(challenge) => self.credential(repository, &challenge).await,
            None => Ok(None),
        }
    }

    /// Drops what this repository asked for the last time.
    pub(super) fn forget(&self, repository: &RepositoryName) {
        self.challenges.invalidate(repository);
    }

    /// What to send after a refusal; a token that was just refused is not used again. `None`:
    /// nothing we have could change the registry's mind.
    pub(super) async fn answer(
        &self,
        repository: &RepositoryName,
        challenge: Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        if let Some((key, refused)) = self.token_key(repository, &challenge).zip(refused) {
            self.tokens.forget(key, refused).await;
        }
        let credential = self.credential(repository, &challenge).await?;
        // One that leads to no credential is not worth remembering: the next request would wait for
        // it before it asks.
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
        // Before a cached token, too: another upstream may have been allowed more.
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
        let body = collect(response, MAX_ANSWER, self.read_timeout).await?;
        let now = Instant::now();
        Token::parse(&body, now)
            .ok_or(UpstreamError::Protocol("no token where it should issue one"))
    }

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
