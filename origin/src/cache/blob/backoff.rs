//! Whether and when a broken download is resumed.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::upstream::UpstreamError;

/// How many attempts in a row may fail without a byte of progress.
const LIMIT: u32 = 5;

/// The pauses between attempts without progress.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: LONGEST_PAUSE };

/// A longer `Retry-After` ends the download, because clients would give up earlier.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Exponential backoff of one download, reset by progress.
#[derive(Debug, Default)]
pub(super) struct ResumeBackoff {
    failures: u32,
}

impl ResumeBackoff {
    /// Resets the backoff because bytes arrived.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns how long to wait before the next attempt, or `None` to give up. `jitter`, from 0 to
    /// 1, spreads the attempts of downloads that broke at the same time.
    pub(super) fn after(&mut self, failure: &UpstreamError, jitter: f64) -> Option<Duration> {
        if !is_transient(failure) || self.failures >= LIMIT {
            return None;
        }
        let requested = failure.retry_after().map_or(Duration::ZERO, Duration::from_secs);
        let pause = BACKOFF.pause(self.failures, jitter).max(requested);
        self.failures += 1;
        (pause <= LONGEST_PAUSE).then_some(pause)
    }
}

/// Returns whether the same request may succeed shortly afterwards.
fn is_transient(failure: &UpstreamError) -> bool {
    match failure {
        UpstreamError::Unreachable(_)
        | UpstreamError::Timeout
        | UpstreamError::Busy
        | UpstreamError::RateLimited { .. }
        | UpstreamError::CircuitOpen { .. } => true,
        UpstreamError::Status { status, .. } | UpstreamError::Token { status } => {
            matches!(status, 408 | 429 | 500..)
        }
        UpstreamError::Vetoed(_) | UpstreamError::Protocol(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ProtocolError;

    fn status(status: u16, retry_after: Option<u64>) -> UpstreamError {
        UpstreamError::Status { status, retry_after }
    }

    #[test]
    fn a_download_without_progress_is_given_up_after_some_attempts() {
        let mut backoff = ResumeBackoff::default();
        let pauses: Vec<_> =
            std::iter::from_fn(|| backoff.after(&UpstreamError::Timeout, 1.0)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600].map(Duration::from_millis));
    }

    #[test]
    fn progress_resets_the_backoff() {
        let mut backoff = ResumeBackoff::default();
        for _ in 0..100 {
            assert!(backoff.after(&UpstreamError::Timeout, 0.5).is_some());
            backoff.reset();
        }
    }

    #[test]
    fn jitter_spreads_the_pauses() {
        let pause =
            |jitter| ResumeBackoff::default().after(&UpstreamError::Timeout, jitter).unwrap();
        assert_eq!((pause(0.0), pause(1.0)), (BACKOFF.first / 2, BACKOFF.first));
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let retried = |failure| ResumeBackoff::default().after(&failure, 0.5).is_some();
        for transient in [408, 429, 500, 502, 503, 504] {
            assert!(retried(status(transient, None)), "{transient}");
        }
        for lasting in [400, 401, 403, 404, 416] {
            assert!(!retried(status(lasting, None)), "{lasting}");
        }
        assert!(retried(UpstreamError::Busy));
        assert!(retried(UpstreamError::Token { status: 503 }));
        assert!(!retried(UpstreamError::Token { status: 401 }));
        assert!(!retried(ProtocolError::WrongRange.into()));
        assert!(!retried(UpstreamError::Vetoed("a private address".into())));
    }

    #[test]
    fn retry_after_is_respected_unless_it_is_too_long() {
        let pause = |after| ResumeBackoff::default().after(&status(503, Some(after)), 1.0);
        assert_eq!(pause(3), Some(Duration::from_secs(3)));
        assert_eq!(pause(0), Some(BACKOFF.first));
        assert_eq!(pause(3600), None);
        let open =
            |seconds| ResumeBackoff::default().after(&UpstreamError::CircuitOpen { seconds }, 0.5);
        assert_eq!((open(4), open(60)), (Some(Duration::from_secs(4)), None));
    }
}
