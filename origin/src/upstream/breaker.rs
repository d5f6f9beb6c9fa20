//! The circuit breaker of one registry. It opens after failures in a row; after a pause, which grows
//! with each failed probe, it is half-open: one probe request decides whether it closes.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// Failures in a row that open it: more than one pull of one unlucky client causes.
const FAILURES: u32 = 8;

const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Requests are sent. `failures` counts those that failed since the last success.
    Closed { failures: u32 },
    /// No request is sent before `until`. `round` counts the failed probes.
    Open { until: Instant, round: u32 },
    /// One probe is in flight; no other request is sent until it ends.
    HalfOpen { round: u32 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Returns how long no request is sent. `None`: the next one is sent.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Self::HalfOpen { .. } => Some(BACKOFF.first),
        }
        .filter(|pause| !pause.is_zero())
    }

    /// Allows one request; the first one after the pause is the probe.
    ///
    /// # Errors
    /// The pause that is left.
    pub(super) fn try_acquire(&mut self, now: Instant) -> Result<(), Duration> {
        match (self.pause(now), *self) {
            (Some(pause), _) => return Err(pause),
            (None, Self::Open { round, .. }) => *self = Self::HalfOpen { round },
            (None, _) => {}
        }
        Ok(())
    }

    /// Records that the registry responded: closes the breaker.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records a failure; `jitter` (0 to 1) spreads the probes of many origins.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES => {
                Self::Closed { failures: failures + 1 }
            }
            Self::Closed { .. } => Self::opened(now, 0, jitter),
            Self::HalfOpen { round } => Self::opened(now, round.saturating_add(1), jitter),
            // Sent before the breaker opened: it must not lengthen the pause.
            open @ Self::Open { .. } => open,
        };
    }

    /// Records that a request was dropped before its outcome was known; the next one is the probe.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if let Self::HalfOpen { round } = *self {
            *self = Self::Open { until: now, round };
        }
    }

    fn opened(now: Instant, round: u32, jitter: f64) -> Self {
        Self::Open { until: now + BACKOFF.pause(round, jitter), round }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.try_acquire(now).unwrap();
            breaker.failed(now, 1.0);
        }
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                breaker.failed(now, 1.0);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.try_acquire(now), Ok(()));
        assert_eq!(opened(now).try_acquire(now), Err(SECOND));
    }

    #[test]
    fn after_the_pause_one_probe_is_sent_and_its_success_closes_the_breaker() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.try_acquire(now + SECOND), Ok(()));
        assert!(breaker.try_acquire(now + SECOND).is_err(), "a second request waits for the probe");
        breaker.succeeded();
        assert_eq!(breaker.try_acquire(now + SECOND), Ok(()));
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_a_minute() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.pause(now), Some(pause));
            now += pause;
            breaker.try_acquire(now).unwrap();
            breaker.failed(now, 1.0);
        }
    }

    #[test]
    fn jitter_shortens_the_pause_by_up_to_half() {
        let now = Instant::now();
        let mut breaker = Breaker::HalfOpen { round: 2 };
        breaker.failed(now, 0.0);
        assert_eq!(breaker.pause(now), Some(4 * SECOND));
    }

    #[test]
    fn after_an_abandoned_probe_the_next_request_is_the_probe() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.try_acquire(now + SECOND).unwrap();
        breaker.abandoned(now + SECOND);
        assert_eq!(breaker.try_acquire(now + SECOND), Ok(()));
    }

    #[test]
    fn failures_of_requests_sent_before_it_opened_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + SECOND / 2, 1.0);
        assert_eq!(breaker.try_acquire(now + SECOND), Ok(()));
    }
}
