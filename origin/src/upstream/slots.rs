//! The limit on concurrent requests to one registry. A blob holds its slot for minutes, so a quarter
//! of the slots is reserved for short requests: manifests, lists and HEAD.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::UpstreamError;

/// A taken slot; it becomes free when the last clone is dropped.
pub(super) type Slot = Arc<OwnedSemaphorePermit>;

#[derive(Debug)]
pub(super) struct Slots {
    /// For every request.
    shared: Arc<Semaphore>,
    /// For short requests only.
    reserved: Arc<Semaphore>,
    queue_timeout: Duration,
}

impl Slots {
    /// Splits `count` slots, with at least one of each kind.
    pub(super) fn new(count: usize, queue_timeout: Duration) -> Self {
        let reserved = (count / 4).max(1);
        let shared = count.saturating_sub(reserved).max(1);
        Self {
            shared: Arc::new(Semaphore::new(shared)),
            reserved: Arc::new(Semaphore::new(reserved)),
            queue_timeout,
        }
    }

    /// Takes a slot, first come, first served.
    ///
    /// # Errors
    /// None became free within the queue timeout.
    pub(super) async fn acquire(&self, is_download: bool) -> Result<Slot, UpstreamError> {
        let slot = async {
            let shared = Arc::clone(&self.shared).acquire_owned();
            if is_download {
                return shared.await;
            }
            tokio::select! {
                slot = Arc::clone(&self.reserved).acquire_owned() => slot,
                slot = shared => slot,
            }
        };
        match timeout(self.queue_timeout, slot).await {
            Ok(Ok(slot)) => Ok(Arc::new(slot)),
            _ => Err(UpstreamError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWNLOAD: bool = true;

    fn slots(count: usize) -> Slots {
        Slots::new(count, Duration::ZERO)
    }

    #[tokio::test]
    async fn downloads_leave_slots_for_short_requests() {
        let slots = slots(8);
        let mut downloads = Vec::new();
        while let Ok(slot) = slots.acquire(DOWNLOAD).await {
            downloads.push(slot);
        }
        assert_eq!(downloads.len(), 6);
        let first = slots.acquire(!DOWNLOAD).await.unwrap();
        let _second = slots.acquire(!DOWNLOAD).await.unwrap();
        assert!(matches!(slots.acquire(!DOWNLOAD).await, Err(UpstreamError::Busy)));
        drop(first);
        assert!(slots.acquire(DOWNLOAD).await.is_err(), "a download takes no reserved slot");
        assert!(slots.acquire(!DOWNLOAD).await.is_ok());
    }

    #[tokio::test]
    async fn short_requests_may_take_every_slot() {
        let slots = slots(4);
        let mut all = Vec::new();
        while let Ok(slot) = slots.acquire(!DOWNLOAD).await {
            all.push(slot);
        }
        assert_eq!(all.len(), 4);
        all.clear();
        assert!(slots.acquire(DOWNLOAD).await.is_ok());
    }
}
