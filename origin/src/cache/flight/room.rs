//! How many bytes may lie in the spool at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The spool's size: a limit, and what of it is taken.
#[derive(Debug)]
pub(in crate::cache) struct Room {
    limit: u64,
    taken: AtomicU64,
    shown: Gauge,
}

/// A part of a [`Room`]; given back when dropped.
#[derive(Debug)]
pub(in crate::cache) struct Reservation {
    room: Arc<Room>,
    bytes: AtomicU64,
}

impl Room {
    /// Of this many bytes, or of as many as the disk has; `shown` follows what is taken.
    pub(in crate::cache) fn new(limit: Option<u64>, shown: Gauge) -> Arc<Self> {
        Arc::new(Self { limit: limit.unwrap_or(u64::MAX), taken: AtomicU64::new(0), shown })
    }

    /// Nothing yet.
    pub(in crate::cache) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { room: Arc::clone(self), bytes: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> bool {
        let grown = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if taken {
            self.shown.inc_by(signed(bytes));
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.shown.dec_by(signed(bytes));
    }
}

impl Reservation {
    /// Grows to this many bytes; `false`: there is no room for them.
    pub(in crate::cache) fn cover(&self, total: u64) -> bool {
        let missing = total.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let covered = self.room.take(missing);
        if covered {
            self.bytes.fetch_add(missing, Ordering::Relaxed);
        }
        covered
    }

    /// Gives everything back, once the bytes lie elsewhere.
    pub(in crate::cache) fn release(&self) {
        self.room.give_back(self.bytes.swap(0, Ordering::Relaxed));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(limit: Option<u64>) -> Arc<Room> {
        Room::new(limit, Gauge::default())
    }

    #[test]
    fn reservations_together_stay_within_the_limit() {
        let room = room(Some(10));
        let (first, second) = (room.reservation(), room.reservation());
        assert!(first.cover(6));
        assert!(!second.cover(5));
        assert!(second.cover(4));
        assert!(first.cover(3), "what is covered already");
        assert!(!first.cover(7));
        assert_eq!(room.shown.get(), 10);
    }

    #[test]
    fn what_is_released_or_dropped_is_there_for_others() {
        let room = room(Some(10));
        let (first, second) = (room.reservation(), room.reservation());
        assert!(first.cover(10));
        first.release();
        assert!(second.cover(10));
        drop(first);
        assert!(!room.reservation().cover(1));
        drop(second);
        assert!(room.reservation().cover(10));
        assert_eq!(room.shown.get(), 0);
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        assert!(room(None).reservation().cover(1 << 50));
    }
}
