//! Authorising at the upstream: challenge → token, fetched once and kept until shortly before it
//! expires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Challenge, RepositoryName};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;

use super::guard::Guard;
use super::{UpstreamError, collect};
use crate::config;

/// A token endpoint's answer is a few kilobytes.
const MAX_ANSWER: usize = 256 * 1024;

/// What the token specification says of an answer without `expires_in`.
const DEFAULT_LIFE: u64 = 60;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    realm: String,
    service: Option<String>,
    scope: String,
}

#[derive(Debug, Clone)]
struct Token {
    header: HeaderValue,
    life: Duration,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Knows how each repository wants to be asked.
#[derive(Debug)]
pub(super) struct Authenticator {
    client: Client,
    guard: Arc<Guard>,
    /// The configured user name and password, ready to send; marked sensitive.
    basic: Option<HeaderValue>,
    /// A repository's last challenge, so that the next request need not be refused first.
    challenges: moka::sync::Cache<RepositoryName, Challenge>,
    tokens: moka::future::Cache<TokenKey, Token>,
}

impl Authenticator {
    pub(super) fn new(client: Client, guard: Arc<Guard>, config: &config::Upstream) -> Self {
        let pair = config.username.as_ref().zip(config.password.as_ref());
        Self {
            client,
            guard,
            basic: pair.and_then(|(name, password)| {
                let pair = STANDARD.encode(format!("{name}:{}", password.expose()));
                sensitive(&format!("Basic {pair}"))
            }),
            challenges: moka::sync::Cache::new(10_000),
            tokens: moka::future::Cache::builder()
                .max_capacity(10_000)
                .expire_after(BeforeItExpires)
                .build(),
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

    /// What to send after a refusal; a token that was just refused is not used again. `None`:
    /// nothing we have could change the upstream's mind.
    pub(super) async fn answer(
        &self,
        repository: &RepositoryName,
        challenge: Challenge,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        if let Some(key) = token_key(repository, &challenge) {
            self.tokens.invalidate(&key).await;
        }
        self.challenges.insert(repository.clone(), challenge.clone());
        self.credential(repository, &challenge).await
    }

    async fn credential(
        &self,
        repository: &RepositoryName,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        let Some(key) = token_key(repository, challenge) else {
            return Ok(self.basic.clone());
        };
        let fetch = self.fetch(key.clone());
        let token = self.tokens.try_get_with(key, fetch).await;
        token.map(|token| Some(token.header)).map_err(|error| UpstreamError::clone(&error))
    }

    async fn fetch(&self, key: TokenKey) -> Result<Token, UpstreamError> {
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
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(UpstreamError::of(&response));
        }
        let body = collect(response, MAX_ANSWER).await?;
        let answer = serde_json::from_slice::<Answer>(&body).ok().and_then(Token::from_answer);
        answer.ok_or(UpstreamError::Protocol("a token answer without a token"))
    }
}

impl Token {
    fn from_answer(answer: Answer) -> Option<Self> {
        let text = answer.token.or(answer.access_token).filter(|text| !text.is_empty())?;
        let seconds = answer.expires_in.unwrap_or(DEFAULT_LIFE);
        // A tenth is kept in hand, so that a token does not expire on its way.
        let life = Duration::from_secs(seconds.saturating_sub(seconds.div_ceil(10)));
        Some(Self { header: sensitive(&format!("Bearer {text}"))?, life })
    }
}

fn token_key(repository: &RepositoryName, challenge: &Challenge) -> Option<TokenKey> {
    let Challenge::Bearer { realm, service, scope } = challenge else { return None };
    let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
    Some(TokenKey { realm: realm.clone(), service: service.clone(), scope })
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

struct BeforeItExpires;

impl moka::Expiry<TokenKey, Token> for BeforeItExpires {
    fn expire_after_create(&self, _: &TokenKey, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.life)
    }
}
