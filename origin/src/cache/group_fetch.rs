//! One fetch for all groups, one record for each group.

use std::hash::Hash;

use prometheus_client::metrics::counter::Counter;

use super::error::FetchError;
use super::singleflight::Singleflight;
use super::status::CacheStatus;
use crate::access::GroupId;
use crate::upstream::UpstreamError;

/// Fetches a value once for all groups that want it at the same time, and records it once for each
/// of these groups.
///
/// A group must not learn what other groups pull. A request is therefore reported as shared only if
/// it joined a request of its own group; one that joined another group's fetch looks like a miss.
#[derive(Debug)]
pub(super) struct GroupFetch<K, V> {
    fetches: Singleflight<K, V>,
    records: Singleflight<(GroupId, K), V>,
}

impl<K, V> Clone for GroupFetch<K, V> {
    fn clone(&self) -> Self {
        Self { fetches: self.fetches.clone(), records: self.records.clone() }
    }
}

impl<K, V> GroupFetch<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Creates a group fetch that counts its requests in `lookups`.
    pub(super) fn counted_by(lookups: &Counter) -> Self {
        Self { fetches: Singleflight::default(), records: Singleflight::counted_by(lookups) }
    }

    /// Runs `fetch`, then `record`, unless an identical fetch or record is already running. The
    /// recording logs its own failures: a client gets the value even if it could not be recorded.
    pub(super) async fn run<F, R>(
        &self,
        group: GroupId,
        key: K,
        fetch: impl FnOnce() -> F + Send + 'static,
        record: impl FnOnce(V) -> R + Send + 'static,
    ) -> (Result<V, FetchError>, CacheStatus)
    where
        F: Future<Output = Result<V, UpstreamError>> + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (fetches, fetch_key) = (self.fetches.clone(), key.clone());
        let fetch_and_record = || async move {
            let value = fetches.run(fetch_key, fetch).await.0?;
            record(value.clone()).await;
            Ok::<_, FetchError>(value)
        };
        let (result, joined) = self.records.run((group, key), fetch_and_record).await;
        (result, if joined { CacheStatus::Shared } else { CacheStatus::Miss })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const ACME: GroupId = GroupId(1);
    const GLOBEX: GroupId = GroupId(2);

    #[tokio::test]
    async fn all_groups_share_a_fetch_and_only_requests_of_one_group_see_that_they_do() {
        let fetches = GroupFetch::<&str, usize>::counted_by(&Counter::default());
        let (fetched, recorded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let request = |group| {
            let (fetched, recorded) = (Arc::clone(&fetched), Arc::clone(&recorded));
            let fetch = move || async move {
                tokio::task::yield_now().await;
                Ok(fetched.fetch_add(1, SeqCst))
            };
            let record = move |_| async move {
                recorded.fetch_add(1, SeqCst);
            };
            fetches.run(group, "a", fetch, record)
        };
        let (first, second, other) = tokio::join!(request(ACME), request(ACME), request(GLOBEX));
        let statuses = [first, second, other].map(|(value, status)| (value.unwrap(), status));
        let expected = [CacheStatus::Miss, CacheStatus::Shared, CacheStatus::Miss];
        assert_eq!(statuses, expected.map(|status| (0, status)));
        assert_eq!((fetched.load(SeqCst), recorded.load(SeqCst)), (1, 2));
    }

    #[tokio::test]
    async fn a_panic_while_fetching_or_recording_is_an_internal_error() {
        let fetches = GroupFetch::<&str, ()>::counted_by(&Counter::default());
        let bug = async || -> () { panic!("a bug") };
        let fetch = move || async move {
            bug().await;
            Ok(())
        };
        let failed = fetches.run(ACME, "a", fetch, |()| async {}).await;
        assert!(matches!(failed.0, Err(FetchError::Internal)));
        let record = move |()| async move { bug().await };
        let failed = fetches.run(ACME, "a", || async { Ok(()) }, record).await;
        assert!(matches!(failed.0, Err(FetchError::Internal)));
    }
}
