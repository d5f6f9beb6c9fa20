//! Singleflight: concurrent calls with the same key run once and share the result.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::error::FetchError;
use super::sync::lock;

type CallResult<V> = Result<V, FetchError>;
type Calls<K, V> = Mutex<HashMap<K, watch::Receiver<Option<CallResult<V>>>>>;

/// The calls in progress, by key.
#[derive(Debug)]
pub(super) struct Singleflight<K, V> {
    calls: Arc<Calls<K, V>>,
    /// Counts every caller, including those that join a call.
    callers: Counter,
}

impl<K, V> Clone for Singleflight<K, V> {
    fn clone(&self) -> Self {
        Self { calls: Arc::clone(&self.calls), callers: self.callers.clone() }
    }
}

impl<K, V> Default for Singleflight<K, V> {
    fn default() -> Self {
        Self::counted_by(&Counter::default())
    }
}

impl<K, V> Singleflight<K, V> {
    /// Creates a singleflight that counts a caller once it has started or joined a call.
    pub(super) fn counted_by(callers: &Counter) -> Self {
        Self { calls: Arc::default(), callers: callers.clone() }
    }
}

impl<K, V> Singleflight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Runs `work`, or waits for the call with this key that is already running; the flag is `true`
    /// for a caller that joined. Nothing is cached, neither results nor failures. The work runs in
    /// a task of its own and completes even if every caller leaves.
    pub(super) async fn run<W, E>(
        &self,
        key: K,
        work: impl FnOnce() -> W,
    ) -> (Result<V, FetchError>, bool)
    where
        W: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<FetchError>,
    {
        let (mut result, joined) = self.join_or_start(key, work);
        self.callers.inc();
        // The sender is dropped without a result only if the task panicked.
        let result = result.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        (result.unwrap_or(Err(FetchError::Internal)), joined)
    }

    fn join_or_start<W, E>(
        &self,
        key: K,
        work: impl FnOnce() -> W,
    ) -> (watch::Receiver<Option<CallResult<V>>>, bool)
    where
        W: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<FetchError>,
    {
        let mut calls = lock(&self.calls);
        if let Some(result) = calls.get(&key) {
            return (result.clone(), true);
        }
        let (sender, receiver) = watch::channel(None);
        calls.insert(key.clone(), receiver.clone());
        let (entry, work) = (CallEntry { calls: Arc::clone(&self.calls), key }, work());
        let task = async move {
            let result = work.await.map_err(Into::into);
            // Before the result is sent: a caller that arrives later needs a fresh result.
            drop(entry);
            let _ = sender.send(Some(result));
        };
        tokio::spawn(task.in_current_span());
        (receiver, false)
    }
}

/// Removes a call from the map when its task ends, including by a panic.
struct CallEntry<K: Hash + Eq, V> {
    calls: Arc<Calls<K, V>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for CallEntry<K, V> {
    fn drop(&mut self) {
        lock(&self.calls).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::upstream::UpstreamError;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn concurrent_callers_share_one_result_and_later_callers_do_not() {
        let calls = Singleflight::<&str, usize>::default();
        let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (runs, go) = (Arc::clone(&runs), Arc::clone(&go));
            async move {
                go.notified().await;
                Ok::<_, FetchError>(runs.fetch_add(1, Ordering::SeqCst))
            }
        };
        let later = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        let (first, second, ()) = tokio::join!(calls.run("a", work), calls.run("a", work), later);
        assert_eq!((first.0.unwrap(), first.1), (0, false));
        assert_eq!((second.0.unwrap(), second.1), (0, true));
        go.notify_one();
        assert_eq!(calls.run("a", work).await.0.unwrap(), 1);
    }

    #[tokio::test]
    async fn work_completes_although_its_caller_left() {
        let calls = Singleflight::<&str, ()>::default();
        let (done, completed) = tokio::sync::oneshot::channel();
        let (go, waits) = tokio::sync::oneshot::channel::<()>();
        let work = || async move {
            let _ = waits.await;
            let _ = done.send(());
            Ok::<_, FetchError>(())
        };
        let call = calls.run("a", work);
        assert!(futures_util::FutureExt::now_or_never(call).is_none());
        go.send(()).unwrap();
        completed.await.unwrap();
    }

    #[tokio::test]
    async fn failures_are_shared_and_not_cached() {
        let calls = Singleflight::<&str, ()>::default();
        let failed = calls.run("a", || async { Err(UpstreamError::Timeout) }).await;
        assert!(matches!(failed.0, Err(FetchError::Upstream(UpstreamError::Timeout))));
        assert!(calls.run("a", || async { Ok::<_, FetchError>(()) }).await.0.is_ok());
        assert!(lock(&calls.calls).is_empty());
    }

    #[tokio::test]
    async fn a_panic_reaches_every_caller_as_an_internal_error_and_not_as_an_outage() {
        let calls = Singleflight::<&str, ()>::default();
        let work = || async {
            tokio::task::yield_now().await;
            if true {
                panic!("a bug");
            }
            Ok::<_, FetchError>(())
        };
        let (leader, joined) = tokio::join!(calls.run("a", work), calls.run("a", work));
        assert!(matches!(leader, (Err(FetchError::Internal), false)), "{leader:?}");
        assert!(matches!(joined, (Err(FetchError::Internal), true)), "{joined:?}");
        assert!(calls.run("a", || async { Ok::<_, FetchError>(()) }).await.0.is_ok());
    }
}
