//! Exponential backoff with jitter.

use std::time::Duration;

/// Pauses that double from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// Returns the pause before attempt `retry`, counted from 0. A `jitter` from 0 to 1 scales it to
    /// between half and all of its length, so that callers that failed together retry apart.
    pub(crate) fn pause(self, retry: u32, jitter: f64) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(retry)).min(self.longest);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [0, 1, 2, 5, 6, 31, u32::MAX].map(|retry| BACKOFF.pause(retry, 1.0).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn jitter_shortens_a_pause_by_up_to_half() {
        let pauses = [-1.0, 0.0, 0.5, 1.0, 2.0].map(|jitter| BACKOFF.pause(2, jitter).as_millis());
        assert_eq!(pauses, [2000, 2000, 3000, 4000, 4000]);
    }
}
