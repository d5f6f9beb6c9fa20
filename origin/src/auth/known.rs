//! JWTs whose signature was verified already: once a token, not once a request.

use std::time::{SystemTime, UNIX_EPOCH};

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::Identity;

/// Tokens remembered at most; a forgotten one is verified again.
const CAPACITY: u64 = 10_000;

/// What names a token here: its SHA-256, so that no token lies in memory for long.
type Fingerprint = [u8; 32];

/// A verified token's owner.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// Whom it stands for.
    pub(super) identity: Identity,
    /// Until when it is accepted, leeway included, in seconds since 1970.
    pub(super) until: u64,
}

/// The tokens verified last.
#[derive(Debug)]
pub(super) struct Known(Cache<Fingerprint, Verified>);

impl Known {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// The owner of a token that is known and still good.
    pub(super) fn owner(&self, token: &str) -> Option<Identity> {
        let found = self.0.get(&fingerprint(token))?;
        (now() <= found.until).then_some(found.identity)
    }

    pub(super) fn remember(&self, token: &str, verified: Verified) {
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
    use crate::db::groups::UserId;

    fn verified(until: u64) -> Verified {
        Verified { identity: Identity { user: UserId(1), username: "ann".into() }, until }
    }

    #[test]
    fn a_known_token_is_good_until_it_expires() {
        let known = Known::new();
        known.remember("fresh", verified(now() + 60));
        known.remember("expired", verified(now() - 1));
        assert_eq!(known.owner("fresh").map(|owner| owner.user), Some(UserId(1)));
        assert_eq!(known.owner("expired"), None);
        assert_eq!(known.owner("fresh "), None);
    }

    #[test]
    fn a_token_is_not_kept_in_the_clear() {
        let known = Known::new();
        known.remember("hunter2", verified(now() + 60));
        assert!(!format!("{known:?} {:?}", known.0.iter().collect::<Vec<_>>()).contains("hunter2"));
    }
}
