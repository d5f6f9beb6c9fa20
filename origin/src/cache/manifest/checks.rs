//! When which tag was last checked, without a write on any pull's path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gitlab::redact::redacted;
use oci::{Digest, RepositoryName, Tag};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::cache::warm::{Place, Warm, WarmTag};
use crate::db::groups::GroupId;
use crate::db::now_millis;
use crate::db::tags::{TagCheck, TaggedManifest};
use crate::db::{Db, DbError};

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
    warm: Warm,
    latest: moka::sync::Cache<(Place, Digest), i64>,
    promises: moka::sync::Cache<(GroupId, RepositoryName, Digest), Vec<Promise>>,
    writers: Arc<Semaphore>,
}

impl Checks {
    pub(super) fn new(db: Db, warm: Warm) -> Self {
        let promises =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_live(PROMISES_LAST);
        Self {
            db,
            warm,
            latest: moka::sync::Cache::new(REMEMBERED),
            promises: promises.build(),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
    }

    /// The manifests a tag pointed at, the latest first.
    pub(super) async fn known(&self, place: &Place) -> Result<WarmTag, DbError> {
        let mut tag = match self.warm.tag(place) {
            Some(warm) => warm,
            None => {
                let (group, image, tag) = place;
                let read = Instant::now();
                let rows = self.db.tagged_manifests(*group, image, tag).await?;
                let tag = WarmTag { rows, read };
                self.warm.keep_tag(place, tag.clone());
                tag
            }
        };
        self.apply(place, &mut tag.rows);
        Ok(tag)
    }

    /// Brings rows up to what is known here, the latest first.
    fn apply(&self, place: &Place, rows: &mut [TaggedManifest]) {
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
        let (db, warm, manifest) = (self.db.clone(), self.warm.clone(), manifest.clone());
        let general = general || row.general;
        tokio::spawn(async move {
            let (group, image, tag) = &place;
            let (digest, media_type) = (&manifest.digest, manifest.media_type.as_str());
            let check = TagCheck { group: *group, image, tag, digest, media_type, general, at };
            match db.point_tag(check).await {
                Ok(()) => warm.forget_tag(&place),
                Err(error) => {
                    let (image, tag) = (redacted(image.as_str()), redacted(tag.as_str()));
                    warn!(image, tag, %error, "the time of a check could not be kept");
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::groups::Visibility;
    use crate::db::manifests::StoredManifest;
    use crate::db::tests::database;

    /// A tag that was checked at the beginning of time, for a client of single images.
    async fn old_tag(db: &Db) -> (Place, Vec<TaggedManifest>) {
        let group = db.create_group("acme", Visibility::Private).await.unwrap();
        let place = (group, "library/app".parse().unwrap(), "latest".parse().unwrap());
        let (digest, media_type) = (Digest::of(b"x"), "a/b".to_owned());
        let manifest = StoredManifest { digest, size: 1, media_type };
        db.commit_manifest(group, &place.1, &manifest).await.unwrap();
        let (image, tag, digest) = (&place.1, &place.2, &manifest.digest);
        let media_type = manifest.media_type.as_str();
        let check = TagCheck { group, image, tag, digest, media_type, general: false, at: 1 };
        db.point_tag(check).await.unwrap();
        let rows = rows(db, &place).await;
        (place, rows)
    }

    fn checks_over(db: &Db) -> Checks {
        Checks::new(db.clone(), Warm::new(&crate::config::Cache::default()))
    }

    async fn rows(db: &Db, place: &Place) -> Vec<TaggedManifest> {
        db.tagged_manifests(place.0, &place.1, &place.2).await.unwrap()
    }

    #[tokio::test]
    async fn a_check_counts_at_once_and_reaches_its_row_later() {
        let (_folder, db) = database().await;
        let (place, mut known) = old_tag(&db).await;
        let checks = checks_over(&db);
        let before = now_millis();
        checks.confirm(place.clone(), &known[0], false);
        checks.apply(&place, &mut known);
        assert!(known[0].checked_at >= before);
        while rows(&db, &place).await[0].checked_at < before {
            tokio::task::yield_now().await;
        }
        assert!(!rows(&db, &place).await[0].general);
    }

    #[tokio::test]
    async fn a_row_is_written_again_only_for_news() {
        let (_folder, db) = database().await;
        let (place, mut known) = old_tag(&db).await;
        let checks = checks_over(&db);
        known[0].checked_at = now_millis();
        checks.confirm(place.clone(), &known[0], false);
        assert_eq!(checks.writers.available_permits(), WRITERS, "it lags by less than a minute");
        checks.confirm(place.clone(), &known[0], true);
        assert_eq!(checks.writers.available_permits(), WRITERS - 1);
        while !rows(&db, &place).await[0].general {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_tags_of_a_head_wait_for_their_digest() {
        let (_folder, db) = database().await;
        let (place, known) = old_tag(&db).await;
        let (checks, digest) = (checks_over(&db), &known[0].manifest.digest);
        for general in [false, true] {
            checks.promise(place.clone(), digest.clone(), general);
        }
        let (group, image, tag) = place;
        assert!(checks.redeem(GroupId(group.0 + 1), &image, digest).is_empty());
        assert_eq!(checks.redeem(group, &image, digest), [(tag, true)]);
        assert!(checks.redeem(group, &image, digest).is_empty());
    }
}
