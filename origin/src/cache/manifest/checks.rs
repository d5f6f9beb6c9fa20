//! When which tag was last checked, without a write on any pull's path.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, RepositoryName, Tag};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::db::Db;
use crate::db::groups::GroupId;
use crate::db::now_millis;
use crate::db::tags::{TagCheck, TaggedManifest};

/// A tag of an image in a group.
type Place = (GroupId, RepositoryName, Tag);

/// How many tags are remembered at most.
const REMEMBERED: u64 = 100_000;

/// How far a row may lie behind: what it orders and outlives are restarts and outages.
const ROWS_LAG: Duration = Duration::from_secs(60);

/// How many rows are brought up to date at once; a check that finds no room leaves it to the next.
const WRITERS: usize = 4;

/// A HEAD's client comes for the bytes soon, by digest.
const PROMISES_LAST: Duration = Duration::from_secs(5 * 60);

/// A tag's answer by HEAD, and whether it is [`TaggedManifest::general`].
type Promise = (Tag, bool);

#[derive(Debug, Clone)]
pub(super) struct Checks {
    db: Db,
    latest: moka::sync::Cache<(Place, Digest), i64>,
    promises: moka::sync::Cache<(GroupId, RepositoryName, Digest), Vec<Promise>>,
    writers: Arc<Semaphore>,
}

impl Checks {
    pub(super) fn new(db: Db) -> Self {
        let promises =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_live(PROMISES_LAST);
        Self {
            db,
            latest: moka::sync::Cache::new(REMEMBERED),
            promises: promises.build(),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
    }

    /// Brings rows up to what is known here, the latest first.
    pub(super) fn apply(&self, place: &Place, rows: &mut [TaggedManifest]) {
        for row in rows.iter_mut() {
            let key = (place.clone(), row.manifest.digest.clone());
            let known = self.latest.get(&key).unwrap_or_default();
            row.checked_at = row.checked_at.max(known);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.checked_at));
    }

    /// Notes that the upstream confirmed this row just now; `general`: to a client of indexes.
    pub(super) fn confirm(&self, place: Place, row: &TaggedManifest, general: bool) {
        let at = now_millis();
        let lags = at.saturating_sub(row.checked_at) > millis(ROWS_LAG);
        let learned = general && !row.general;
        let manifest = &row.manifest;
        self.latest.insert((place.clone(), manifest.digest.clone()), at);
        if !(lags || learned) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.writers).try_acquire_owned() else { return };
        let (db, manifest) = (self.db.clone(), manifest.clone());
        let general = general || row.general;
        tokio::spawn(async move {
            let (group, image, tag) = &place;
            let (digest, media_type) = (&manifest.digest, manifest.media_type.as_str());
            let check = TagCheck { group: *group, image, tag, digest, media_type, general, at };
            if let Err(error) = db.point_tag(check).await {
                warn!(%image, %tag, %error, "the time of a check could not be kept");
            }
            drop(permit);
        });
    }

    /// Remembers what a HEAD said of a tag, until its bytes are fetched by digest.
    pub(super) fn promise(&self, place: Place, digest: Digest, general: bool) {
        let (group, image, tag) = place;
        let entry = self.promises.entry((group, image, digest));
        entry.and_upsert_with(|found| {
            let mut promised = found.map(|found| found.into_value()).unwrap_or_default();
            promised.retain(|(other, _)| *other != tag);
            promised.truncate(7);
            promised.push((tag, general));
            promised
        });
    }

    /// The tags that were said to point at this digest, once.
    pub(super) fn redeem(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Vec<Promise> {
        self.promises.remove(&(group, image.clone(), digest.clone())).unwrap_or_default()
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
