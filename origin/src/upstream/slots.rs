//! How many requests a registry gets at once. Blobs keep their place for minutes, so a part of the
//! places is for everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::UpstreamError;

/// A place; given back when the last clone is dropped.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

#[derive(Debug)]
pub(super) struct Slots {
    /// For anything.
    shared: Arc<Semaphore>,
    /// For what is answered at once.
    short: Arc<Semaphore>,
    patience: Duration,
}

impl Slots {
    /// So many places, at least two.
    pub(super) fn new(places: usize, patience: Duration) -> Self {
        let short = (places / 4).max(1);
        let shared = places.saturating_sub(short).max(1);
        Self {
            shared: Arc::new(Semaphore::new(shared)),
            short: Arc::new(Semaphore::new(short)),
            patience,
        }
    }

    /// A place, in the order of asking.
    pub(super) async fn take(&self, long: bool) -> Result<Place, UpstreamError> {
        let place = async {
            let shared = Arc::clone(&self.shared).acquire_owned();
            if long {
                return shared.await;
            }
            tokio::select! {
                place = Arc::clone(&self.short).acquire_owned() => place,
                place = shared => place,
            }
        };
        match timeout(self.patience, place).await {
            Ok(Ok(place)) => Ok(Arc::new(place)),
            _ => Err(UpstreamError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: bool = true;

    fn slots(places: usize) -> Slots {
        Slots::new(places, Duration::ZERO)
    }

    #[tokio::test]
    async fn blobs_leave_places_for_what_is_short() {
        let slots = slots(8);
        let mut blobs = Vec::new();
        while let Ok(place) = slots.take(LONG).await {
            blobs.push(place);
        }
        assert_eq!(blobs.len(), 6);
        let first = slots.take(!LONG).await.unwrap();
        let _second = slots.take(!LONG).await.unwrap();
        assert!(matches!(slots.take(!LONG).await, Err(UpstreamError::Busy)));
        drop(first);
        assert!(slots.take(LONG).await.is_err(), "not even when it is free");
        assert!(slots.take(!LONG).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_short_may_have_every_place() {
        let slots = slots(4);
        let mut all = Vec::new();
        while let Ok(place) = slots.take(!LONG).await {
            all.push(place);
        }
        assert_eq!(all.len(), 4);
        all.clear();
        assert!(slots.take(LONG).await.is_ok());
    }
}
