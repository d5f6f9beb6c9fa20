//! Registry tokens and their cache.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use serde::Deserialize;
use tracing::warn;

use super::super::error::UpstreamError;
use crate::metrics::Metrics;

/// The life in seconds of a token without `expires_in` (token specification).
const DEFAULT_LIFE: u64 = 60;
/// The longest time in seconds that a token is used: the access behind it may be revoked.
const LONGEST_LIFE: u64 = 24 * 60 * 60;

/// The cache key of a token: its endpoint, its service and scope, and the login it was issued to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: String,
    pub(super) login: [u8; 32],
}

/// A token with its remaining life.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    life: Duration,
    refresh_at: Instant,
    /// Shared by all copies of the token, so that only one of them starts the refresh.
    refreshing: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// The token cache of this process. Clones share it.
#[derive(Debug, Clone)]
pub(in super::super) struct Tokens {
    cache: moka::future::Cache<TokenKey, Token>,
    metrics: Arc<Metrics>,
}

impl Token {
    pub(super) fn parse(body: &[u8], now: Instant) -> Option<Self> {
        let response: TokenResponse = serde_json::from_slice(body).ok()?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let text = given(response.token).or_else(|| given(response.access_token))?;
        let seconds = response.expires_in.unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
        // The last tenth is not used, so that a token does not expire between here and the registry.
        let life = Duration::from_secs(seconds.saturating_sub(seconds.div_ceil(10)));
        Some(Self {
            header: sensitive(&format!("Bearer {text}"))?,
            life,
            refresh_at: now + life / 2,
            refreshing: Arc::default(),
        })
    }

    /// Whether the token is in the second half of its life. A refresh then, in the background, saves
    /// later requests from waiting for the token endpoint.
    pub(super) fn wants_refreshing(&self, now: Instant) -> bool {
        now >= self.refresh_at
    }
}

impl Tokens {
    pub(in super::super) fn new(metrics: Arc<Metrics>) -> Self {
        let cache =
            moka::future::Cache::builder().max_capacity(10_000).expire_after(TokenLife).build();
        Self { cache, metrics }
    }

    /// Returns the cached token, or fetches it. Concurrent callers share one fetch: if the caller that
    /// started it is cancelled, moka polls the fetch of the next one.
    pub(super) async fn get(
        &self,
        key: TokenKey,
        fetch: impl Future<Output = Result<Token, UpstreamError>>,
    ) -> Result<Token, UpstreamError> {
        let token = self.cache.try_get_with(key, self.counted(fetch)).await;
        token.map_err(|error| UpstreamError::clone(&error))
    }

    /// Replaces a token in the background, unless that is in progress. Until then the old one is used.
    pub(super) fn refresh(
        &self,
        key: TokenKey,
        token: &Token,
        fetch: impl Future<Output = Result<Token, UpstreamError>> + Send + 'static,
    ) {
        if token.refreshing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (tokens, refreshing) = (self.clone(), Arc::clone(&token.refreshing));
        tokio::spawn(async move {
            match tokens.counted(fetch).await {
                Ok(token) => tokens.cache.insert(key, token).await,
                Err(error) => {
                    warn!(%error, "token refresh failed; the old token stays in use");
                    refreshing.store(false, Ordering::Relaxed);
                }
            }
        });
    }

    /// Drops a token that the registry rejected, unless another request has replaced it meanwhile.
    pub(super) async fn forget(&self, key: TokenKey, rejected: &HeaderValue) {
        use moka::ops::compute::Op;
        let entry = self.cache.entry(key);
        entry
            .and_compute_with(|cached| {
                let same = cached.is_some_and(|cached| cached.value().header == *rejected);
                std::future::ready(if same { Op::Remove } else { Op::Nop })
            })
            .await;
    }

    async fn counted(
        &self,
        fetch: impl Future<Output = Result<Token, UpstreamError>>,
    ) -> Result<Token, UpstreamError> {
        let fetched = fetch.await;
        let outcome = fetched.as_ref().map_or_else(UpstreamError::outcome, |_| "ok");
        self.metrics.token_fetched(outcome);
        fetched
    }
}

/// Returns a header value that `Debug` does not print.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Expires each entry at the end of its token's life.
struct TokenLife;

impl moka::Expiry<TokenKey, Token> for TokenLife {
    fn expire_after_create(&self, _: &TokenKey, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.life)
    }

    fn expire_after_update(
        &self,
        _: &TokenKey,
        token: &Token,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(token.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str) -> Option<u64> {
        Token::parse(body.as_bytes(), Instant::now()).map(|token| token.life.as_secs())
    }

    #[test]
    fn a_token_is_cached_for_nine_tenths_of_its_life() {
        for (body, seconds) in [
            (r#"{"token":"t","expires_in":300}"#, 270),
            (r#"{"access_token":"t","expires_in":60}"#, 54),
            (r#"{"token":"","access_token":"t"}"#, 54),
            (r#"{"token":"t","expires_in":0}"#, 0),
            (r#"{"token":"t","expires_in":18446744073709551615}"#, 77_760),
        ] {
            assert_eq!(life(body), Some(seconds), "{body}");
        }
    }

    #[test]
    fn a_response_without_a_usable_token_is_rejected() {
        for body in ["", "<html>", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":7}"#]
        {
            assert_eq!(life(body), None, "{body}");
        }
    }

    #[test]
    fn a_token_is_refreshed_in_the_second_half_of_its_life() {
        let now = Instant::now();
        let token = Token::parse(br#"{"token":"t","expires_in":300}"#, now).unwrap();
        assert!(!token.wants_refreshing(now + Duration::from_secs(134)));
        assert!(token.wants_refreshing(now + Duration::from_secs(135)));
        assert!(!format!("{token:?}").contains("\"Bearer t\""));
    }

    fn key() -> TokenKey {
        let realm = "https://auth.example/token".to_owned();
        TokenKey { realm, service: None, scope: "repository:app:pull".to_owned(), login: [0; 32] }
    }

    /// Returns a token that was issued `seconds` ago.
    fn aged(text: &str, seconds: u64) -> Result<Token, UpstreamError> {
        let issued = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let body = format!(r#"{{"token":"{text}","expires_in":300}}"#);
        Ok(Token::parse(body.as_bytes(), issued).unwrap())
    }

    #[tokio::test]
    async fn a_token_is_refreshed_once_and_used_until_then() {
        let tokens = Tokens::new(Arc::default());
        let (arrive, arrived) = tokio::sync::oneshot::channel::<()>();
        let old = tokens.get(key(), async { aged("old", 200) }).await.unwrap();
        assert!(old.wants_refreshing(Instant::now()));
        tokens.refresh(key(), &old, async {
            let _ = arrived.await;
            aged("new", 0)
        });
        tokens.refresh(key(), &old, async { aged("second", 0) });
        let meanwhile = tokens.get(key(), async { aged("third", 0) }).await.unwrap();
        assert_eq!(meanwhile.header, old.header);
        arrive.send(()).unwrap();
        loop {
            let now = tokens.get(key(), async { aged("fourth", 0) }).await.unwrap();
            if now.header != old.header {
                assert_eq!(now.header, "Bearer new");
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_rejected_token_is_dropped_but_not_its_successor() {
        let tokens = Tokens::new(Arc::default());
        let old = tokens.get(key(), async { aged("old", 0) }).await.unwrap();
        tokens.forget(key(), &old.header).await;
        let new = tokens.get(key(), async { aged("new", 0) }).await.unwrap();
        assert_eq!(new.header, "Bearer new");
        tokens.forget(key(), &old.header).await;
        assert_eq!(tokens.get(key(), async { aged("third", 0) }).await.unwrap().header, new.header);
    }

    #[tokio::test]
    async fn tokens_are_not_shared_between_logins() {
        let tokens = Tokens::new(Arc::default());
        tokens.get(key(), async { aged("mine", 0) }).await.unwrap();
        let other = TokenKey { login: [1; 32], ..key() };
        assert_eq!(
            tokens.get(other, async { aged("other", 0) }).await.unwrap().header,
            "Bearer other"
        );
    }
}
