//! The limit on the bytes in the spool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The space for spooled bytes: a limit and how much of it is reserved.
#[derive(Debug)]
pub(in crate::cache) struct SpoolSpace {
    limit: u64,
    reserved: AtomicU64,
    gauge: Gauge,
}

/// A part of a [`SpoolSpace`], returned to it when dropped.
#[derive(Debug)]
pub(in crate::cache) struct Reservation {
    space: Arc<SpoolSpace>,
    bytes: AtomicU64,
}

impl SpoolSpace {
    /// Creates a space of `limit` bytes, or without a limit; `gauge` shows how much is reserved.
    pub(in crate::cache) fn new(limit: Option<u64>, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { limit: limit.unwrap_or(u64::MAX), reserved: AtomicU64::new(0), gauge })
    }

    /// Creates an empty reservation.
    pub(in crate::cache) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { space: Arc::clone(self), bytes: AtomicU64::new(0) }
    }

    fn reserve(&self, bytes: u64) -> bool {
        let grown = |reserved: u64| reserved.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let fits = self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if fits {
            self.gauge.inc_by(signed(bytes));
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
        self.gauge.dec_by(signed(bytes));
    }
}

impl Reservation {
    /// Grows the reservation to `total` bytes. Returns `false`, and changes nothing, if they do not
    /// fit.
    pub(in crate::cache) fn grow_to(&self, total: u64) -> bool {
        let missing = total.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let fits = self.space.reserve(missing);
        if fits {
            self.bytes.fetch_add(missing, Ordering::Relaxed);
        }
        fits
    }

    /// Gives the whole reservation back.
    pub(in crate::cache) fn release(&self) {
        self.space.give_back(self.bytes.swap(0, Ordering::Relaxed));
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

    fn space(limit: Option<u64>) -> Arc<SpoolSpace> {
        SpoolSpace::new(limit, Gauge::default())
    }

    #[test]
    fn reservations_together_stay_within_the_limit() {
        let space = space(Some(10));
        let (first, second) = (space.reservation(), space.reservation());
        assert!(first.grow_to(6));
        assert!(!second.grow_to(5));
        assert!(second.grow_to(4));
        assert!(first.grow_to(3), "3 bytes are already reserved");
        assert!(!first.grow_to(7));
        assert_eq!(space.gauge.get(), 10);
    }

    #[test]
    fn released_and_dropped_reservations_are_available_again() {
        let space = space(Some(10));
        let (first, second) = (space.reservation(), space.reservation());
        assert!(first.grow_to(10));
        first.release();
        assert!(second.grow_to(10));
        drop(first);
        assert!(!space.reservation().grow_to(1));
        drop(second);
        assert!(space.reservation().grow_to(10));
        assert_eq!(space.gauge.get(), 0);
    }

    #[test]
    fn without_a_limit_every_reservation_fits() {
        assert!(space(None).reservation().grow_to(1 << 50));
    }
}
