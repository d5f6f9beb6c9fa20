//! One question at a time: whoever asks while an answer is on its way shares it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::lock;
use crate::upstream::UpstreamError;

type Outcome<V> = Result<V, UpstreamError>;
type Asked<K, V> = Mutex<HashMap<K, watch::Receiver<Option<Outcome<V>>>>>;

/// The questions that are being asked.
#[derive(Debug)]
pub(super) struct Coalesced<K, V> {
    asked: Arc<Asked<K, V>>,
    /// How many asked, those who share an answer too.
    askers: Counter,
}

impl<K, V> Clone for Coalesced<K, V> {
    fn clone(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), askers: self.askers.clone() }
    }
}

impl<K, V> Default for Coalesced<K, V> {
    fn default() -> Self {
        Self::counted_by(&Counter::default())
    }
}

impl<K, V> Coalesced<K, V> {
    /// Counts each who asks, once it is sure to share the answer.
    pub(super) fn counted_by(askers: &Counter) -> Self {
        Self { asked: Arc::default(), askers: askers.clone() }
    }
}

impl<K, V> Coalesced<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Asks, or waits for who asked already (`true`). Nothing is kept once it is answered, a failure
    /// the least. The work goes on when nobody waits any more.
    pub(super) async fn ask<W>(&self, key: K, work: impl FnOnce() -> W) -> (Outcome<V>, bool)
    where
        W: Future<Output = Outcome<V>> + Send + 'static,
    {
        let (mut answer, joined) = self.board(key, work);
        self.askers.inc();
        let outcome = answer.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        let ended_early = || Err(UpstreamError::Unreachable("the request ended early".to_owned()));
        (outcome.unwrap_or_else(ended_early), joined)
    }

    fn board<W>(
        &self,
        key: K,
        work: impl FnOnce() -> W,
    ) -> (watch::Receiver<Option<Outcome<V>>>, bool)
    where
        W: Future<Output = Outcome<V>> + Send + 'static,
    {
        let mut asked = lock(&self.asked);
        if let Some(answer) = asked.get(&key) {
            return (answer.clone(), true);
        }
        let (tell, answer) = watch::channel(None);
        asked.insert(key.clone(), answer.clone());
        let (entry, work) = (Entry { asked: Arc::clone(&self.asked), key }, work());
        let task = async move {
            let outcome = work.await;
            // Whoever asks from here on is told what is so by then.
            drop(entry);
            let _ = tell.send(Some(outcome));
        };
        tokio::spawn(task.in_current_span());
        (answer, false)
    }
}

/// Gone with its task, also when that panics.
struct Entry<K: Hash + Eq, V> {
    asked: Arc<Asked<K, V>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        lock(&self.asked).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_answer_and_the_next_ones_do_not() {
        let questions = Coalesced::<&str, usize>::default();
        let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            async move {
                go.notified().await;
                Ok(asked.fetch_add(1, Ordering::SeqCst))
            }
        };
        let later = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        let (first, second, ()) =
            tokio::join!(questions.ask("a", work), questions.ask("a", work), later);
        assert_eq!((first.0.unwrap(), first.1), (0, false));
        assert_eq!((second.0.unwrap(), second.1), (0, true));
        go.notify_one();
        assert_eq!(questions.ask("a", work).await.0.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_question_whose_asker_left_is_answered_all_the_same() {
        let questions = Coalesced::<&str, ()>::default();
        let (done, told) = tokio::sync::oneshot::channel();
        let (go, waits) = tokio::sync::oneshot::channel::<()>();
        let work = || async move {
            let _ = waits.await;
            let _ = done.send(());
            Ok(())
        };
        let asking = questions.ask("a", work);
        assert!(futures_util::FutureExt::now_or_never(asking).is_none());
        go.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn failures_and_panics_are_shared_and_forgotten() {
        let questions = Coalesced::<&str, ()>::default();
        let failed = questions.ask("a", || async { Err(UpstreamError::Timeout) }).await;
        assert!(matches!(failed.0, Err(UpstreamError::Timeout)));
        let dead = questions.ask("a", || async { panic!("a bug") }).await;
        assert!(matches!(dead.0, Err(UpstreamError::Unreachable(_))));
        assert!(questions.ask("a", || async { Ok(()) }).await.0.is_ok());
        assert!(lock(&questions.asked).is_empty());
    }
}
