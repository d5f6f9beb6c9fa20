//! Who may pull through a group: the database's facts and policy's verdict, a yes kept for a moment.

use std::time::Duration;

use moka::sync::Cache;

use crate::db::Db;
use crate::db::groups::{GroupId, UserId};
use crate::error::Error;
use crate::policy::{self, Denial, Verdict};

/// Answers kept at most.
const CAPACITY: u64 = 10_000;

/// The door of the dependency proxy.
#[derive(Debug)]
pub struct Gate {
    db: Db,
    /// Whom it let in a moment ago, as which group. A no is never kept: a new member gets in at once.
    admitted: Option<Cache<(UserId, String), GroupId>>,
}

impl Gate {
    /// A gate that keeps a yes for `life`; zero: not at all.
    #[must_use]
    pub fn new(db: Db, life: Duration) -> Self {
        let cache = || Cache::builder().max_capacity(CAPACITY).time_to_live(life).build();
        Self { db, admitted: (!life.is_zero()).then(cache) }
    }

    /// The group at `path`, if this user may pull through it.
    ///
    /// # Errors
    /// [`Error::GroupUnknown`], [`Error::Disabled`], or the database fails.
    pub async fn admit(&self, path: String, user: UserId) -> Result<GroupId, Error> {
        let key = (user, path.to_lowercase());
        if let Some(group) = self.admitted.as_ref().and_then(|admitted| admitted.get(&key)) {
            return Ok(group);
        }
        let group = match policy::decide(self.db.access(&path, user).await?) {
            Verdict::Allow(group) => group,
            Verdict::Deny(Denial::NotVisible) => return Err(Error::GroupUnknown(path)),
            Verdict::Deny(Denial::Disabled) => return Err(Error::Disabled(path)),
        };
        if let Some(admitted) = &self.admitted {
            admitted.insert(key, group);
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::groups::{Role, Visibility};
    use crate::db::tests::database;

    const MOMENT: Duration = Duration::from_secs(3600);

    /// A database whose `acme` ann is a member of.
    async fn acme() -> (tempfile::TempDir, Db, UserId) {
        let (folder, db) = database().await;
        db.create_group("acme", Visibility::Private).await.unwrap();
        let ann = db.create_user("ann").await.unwrap();
        db.add_member("acme", ann, Role::Guest).await.unwrap();
        (folder, db, ann)
    }

    #[tokio::test]
    async fn a_member_is_let_in_unasked_for_the_moment() {
        let (_folder, db, ann) = acme().await;
        let gate = Gate::new(db.clone(), MOMENT);
        let group = gate.admit("acme".into(), ann).await.unwrap();
        let uses = db.uses().get();
        assert_eq!(gate.admit("Acme".into(), ann).await.unwrap(), group);
        assert_eq!(db.uses().get(), uses);
    }

    #[tokio::test]
    async fn with_no_moment_every_request_asks() {
        let (_folder, db, ann) = acme().await;
        let gate = Gate::new(db.clone(), Duration::ZERO);
        for _ in 0..3 {
            let uses = db.uses().get();
            gate.admit("acme".into(), ann).await.unwrap();
            assert_eq!(db.uses().get(), uses + 1);
        }
    }

    #[tokio::test]
    async fn a_no_is_not_kept_and_a_yes_is_nobody_elses() {
        let (_folder, db, ann) = acme().await;
        let bob = db.create_user("bob").await.unwrap();
        let gate = Gate::new(db.clone(), MOMENT);
        gate.admit("acme".into(), ann).await.unwrap();
        let refused = gate.admit("acme".into(), bob).await;
        assert!(matches!(refused, Err(Error::GroupUnknown(_))));
        db.add_member("acme", bob, Role::Guest).await.unwrap();
        gate.admit("acme".into(), bob).await.unwrap();
    }
}
