//! A cache of verified JWTs: each signature is verified once, not once per request.

use std::time::{SystemTime, UNIX_EPOCH};

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::identity::Identity;

/// The most tokens in the cache; an evicted token is verified again.
const CAPACITY: u64 = 10_000;

/// A token's SHA-256, so that the cache holds no tokens.
type Fingerprint = [u8; 32];

/// A verified token.
#[derive(Debug, Clone)]
pub(super) struct VerifiedToken {
    /// The user it authenticates.
    pub(super) identity: Identity,
    /// When it expires, leeway included, in seconds since 1970.
    pub(super) expires_at: u64,
}

/// The most recently verified tokens.
#[derive(Debug)]
pub(super) struct VerifiedTokens(Cache<Fingerprint, VerifiedToken>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Returns the user of a cached token that has not expired.
    pub(super) fn identity(&self, token: &str) -> Option<Identity> {
        let found = self.0.get(&fingerprint(token))?;
        (now() <= found.expires_at).then_some(found.identity)
    }

    pub(super) fn insert(&self, token: &str, verified: VerifiedToken) {
        self.0.insert(fingerprint(token), verified);
    }
}

fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token.as_bytes()).into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::UserId;

    fn token(expires_at: u64) -> VerifiedToken {
        VerifiedToken { identity: Identity { user: UserId(1), username: "ann".into() }, expires_at }
    }

    #[test]
    fn a_cached_token_is_accepted_until_it_expires() {
        let tokens = VerifiedTokens::new();
        tokens.insert("fresh", token(now() + 60));
        tokens.insert("expired", token(now() - 1));
        assert_eq!(tokens.identity("fresh").map(|identity| identity.user), Some(UserId(1)));
        assert_eq!(tokens.identity("expired"), None);
        assert_eq!(tokens.identity("fresh "), None);
    }

    #[test]
    fn the_cache_holds_no_token_in_clear_text() {
        let tokens = VerifiedTokens::new();
        tokens.insert("hunter2", token(now() + 60));
        let entries = tokens.0.iter().collect::<Vec<_>>();
        assert!(!format!("{tokens:?} {entries:?}").contains("hunter2"));
    }
}
