//! The access check: looks a membership up, applies the rules, and caches what was granted.

use std::future::Future;
use std::time::Duration;

use gitlab::group_path::GroupPath;
use moka::sync::Cache;

use super::facts::{Access, GroupId, UserId};
use super::policy::{Denial, authorize_pull};

/// The most grants that are cached.
const CAPACITY: u64 = 10_000;

/// A source of memberships.
pub trait Memberships {
    /// Why a lookup failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Looks up a group and the user's rights in it; `None` if the group does not exist.
    fn access(
        &self,
        group: &GroupPath,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Access>, Self::Error>> + Send;
}

/// Why an access check did not grant access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The group does not exist, or the user is not a member.
    #[error("group `{0}` does not exist, or you have no access to it")]
    NotVisible(GroupPath),
    /// The group's dependency proxy is disabled.
    #[error("the dependency proxy of group `{0}` is disabled")]
    Disabled(GroupPath),
    /// The membership could not be looked up.
    #[error(transparent)]
    Lookup(Box<dyn std::error::Error + Send + Sync>),
}

/// Authorises pulls through the dependency proxy.
#[derive(Debug)]
pub struct AccessCheck<M> {
    memberships: M,
    /// Only grants are cached: a new member has access at once.
    granted: Option<Cache<(UserId, GroupPath), GroupId>>,
}

impl<M: Memberships> AccessCheck<M> {
    /// Creates a check that caches a grant for `ttl`; zero disables the cache.
    #[must_use]
    pub fn new(memberships: M, ttl: Duration) -> Self {
        let cache = || Cache::builder().max_capacity(CAPACITY).time_to_live(ttl).build();
        Self { memberships, granted: (!ttl.is_zero()).then(cache) }
    }

    /// Returns the group's key if the user may pull through the group.
    ///
    /// # Errors
    /// The rules deny it, or the lookup fails.
    pub async fn authorize(&self, path: GroupPath, user: UserId) -> Result<GroupId, AccessError> {
        let key = (user, path);
        if let Some(group) = self.granted.as_ref().and_then(|granted| granted.get(&key)) {
            return Ok(group);
        }
        let access = self.memberships.access(&key.1, user).await;
        let access = access.map_err(|error| AccessError::Lookup(Box::new(error)))?;
        let group = match authorize_pull(access) {
            Ok(group) => group,
            Err(Denial::NotVisible) => return Err(AccessError::NotVisible(key.1)),
            Err(Denial::Disabled) => return Err(AccessError::Disabled(key.1)),
        };
        if let Some(granted) = &self.granted {
            granted.insert(key, group);
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::access::{Role, Visibility};

    const TTL: Duration = Duration::from_secs(60);
    const ACME: GroupId = GroupId(1);
    const ANN: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    /// One group, `acme`, and its members.
    #[derive(Default)]
    struct Acme {
        members: Mutex<HashSet<i64>>,
        lookups: AtomicUsize,
    }

    impl Acme {
        fn with(user: UserId) -> Self {
            let acme = Self::default();
            acme.join(user);
            acme
        }

        fn join(&self, user: UserId) {
            self.members.lock().unwrap().insert(user.0);
        }

        fn lookups(&self) -> usize {
            self.lookups.load(Ordering::Relaxed)
        }
    }

    impl Memberships for Acme {
        type Error = Infallible;

        async fn access(
            &self,
            group: &GroupPath,
            user: UserId,
        ) -> Result<Option<Access>, Infallible> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            if group.as_str() != "acme" {
                return Ok(None);
            }
            let role = self.members.lock().unwrap().contains(&user.0).then_some(Role::Guest);
            let visibility = Visibility::Private;
            Ok(Some(Access { group: ACME, enabled: true, visibility, role }))
        }
    }

    fn path(text: &str) -> GroupPath {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_grant_is_cached_whatever_the_case_of_the_path() {
        let check = AccessCheck::new(Acme::with(ANN), TTL);
        for text in ["acme", "Acme"] {
            assert_eq!(check.authorize(path(text), ANN).await.unwrap(), ACME);
        }
        assert_eq!(check.memberships.lookups(), 1);
    }

    #[tokio::test]
    async fn with_a_ttl_of_zero_every_request_looks_the_membership_up() {
        let check = AccessCheck::new(Acme::with(ANN), Duration::ZERO);
        for lookups in 1..=3 {
            check.authorize(path("acme"), ANN).await.unwrap();
            assert_eq!(check.memberships.lookups(), lookups);
        }
    }

    #[tokio::test]
    async fn a_denial_is_not_cached_and_a_grant_holds_for_its_user_only() {
        let check = AccessCheck::new(Acme::with(ANN), TTL);
        check.authorize(path("acme"), ANN).await.unwrap();
        let denied = check.authorize(path("acme"), BOB).await;
        assert!(matches!(denied, Err(AccessError::NotVisible(_))));
        check.memberships.join(BOB);
        check.authorize(path("acme"), BOB).await.unwrap();
    }
}
