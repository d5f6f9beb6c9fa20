//! A circuit breaker: a registry that keeps failing is left alone for a while that grows, then one
//! request finds out whether it is back.

use std::time::{Duration, Instant};

/// Failures in a row that open it: more than one pull of an unlucky client makes.
const FAILURES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Requests pass; this many failed since the last that did not.
    Closed { failures: u32 },
    /// No request passes before then.
    Open { until: Instant, round: u32 },
    /// One request is on its way, the others wait for what it finds.
    Probing { round: u32 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// How long nothing passes yet; `None`: it may be tried.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Self::Probing { .. } => Some(FIRST_PAUSE),
        }
        .filter(|pause| !pause.is_zero())
    }

    /// Lets a request through, or tells how long none passes.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match (self.pause(now), *self) {
            (Some(pause), _) => return Err(pause),
            (None, Self::Open { round, .. }) => *self = Self::Probing { round },
            (None, _) => {}
        }
        Ok(())
    }

    /// A request was answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request failed; `jitter` (0 to 1) keeps many origins from coming back at once.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES => {
                Self::Closed { failures: failures + 1 }
            }
            Self::Closed { .. } => Self::opened(now, 0, jitter),
            Self::Probing { round } => Self::opened(now, round.saturating_add(1), jitter),
            // A request from before it opened.
            open @ Self::Open { .. } => open,
        };
    }

    /// A request ended without a word about the registry: the next may find out.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if let Self::Probing { round } = *self {
            *self = Self::Open { until: now, round };
        }
    }

    fn opened(now: Instant, round: u32, jitter: f64) -> Self {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(round)).min(LONGEST_PAUSE);
        Self::Open { until: now + pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0), round }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.admit(now).unwrap();
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
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(opened(now).admit(now), Err(SECOND));
    }

    #[test]
    fn after_its_pause_one_request_passes_and_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
        assert!(breaker.admit(now + SECOND).is_err(), "the second waits for the first");
        breaker.succeeded();
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
    }

    #[test]
    fn each_failed_probe_makes_the_pause_longer_up_to_a_minute() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.pause(now), Some(pause));
            now += pause;
            breaker.admit(now).unwrap();
            breaker.failed(now, 1.0);
        }
    }

    #[test]
    fn jitter_takes_up_to_half_of_the_pause() {
        let now = Instant::now();
        let mut breaker = Breaker::Probing { round: 2 };
        breaker.failed(now, 0.0);
        assert_eq!(breaker.pause(now), Some(4 * SECOND));
    }

    #[test]
    fn a_probe_that_was_given_up_lets_the_next_one_try() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.admit(now + SECOND).unwrap();
        breaker.abandoned(now + SECOND);
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
    }

    #[test]
    fn failures_of_requests_from_before_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + SECOND / 2, 1.0);
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
    }
}
