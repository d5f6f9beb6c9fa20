//! When a download that broke goes on, and when it is given up.

use std::time::Duration;

use crate::upstream::UpstreamError;

/// How often in a row a download may break without having brought a byte.
const LIMIT: u32 = 5;

/// The first pause; each further one without progress is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A longer `Retry-After` than this ends the download: clients would give up before.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often a download broke since it last brought something.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Bytes came: what was before counts no more.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before the next attempt; `None`: give up. `jitter` is from 0 to 1, so that
    /// downloads that broke together do not come back together.
    pub(super) fn after(&mut self, failure: &UpstreamError, jitter: f64) -> Option<Duration> {
        if !is_passing(failure) || self.failures >= LIMIT {
            return None;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.failures);
        self.failures += 1;
        let pause = pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0)).max(asked_for(failure));
        (pause <= LONGEST_PAUSE).then_some(pause)
    }
}

/// Whether the same request may go well a moment later.
fn is_passing(failure: &UpstreamError) -> bool {
    match failure {
        UpstreamError::Unreachable(_)
        | UpstreamError::Timeout
        | UpstreamError::Busy
        | UpstreamError::RateLimited { .. }
        | UpstreamError::Resting { .. } => true,
        UpstreamError::Status { status, .. } | UpstreamError::Token { status } => {
            matches!(status, 408 | 429 | 500..)
        }
        UpstreamError::Vetoed(_) | UpstreamError::Protocol(_) | UpstreamError::Spool(_) => false,
    }
}

fn asked_for(failure: &UpstreamError) -> Duration {
    match failure {
        UpstreamError::Status { retry_after: Some(after), .. } => {
            after.trim().parse().map_or(Duration::ZERO, Duration::from_secs)
        }
        UpstreamError::RateLimited { seconds } | UpstreamError::Resting { seconds } => {
            Duration::from_secs(*seconds)
        }
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<&str>) -> UpstreamError {
        UpstreamError::Status { status, retry_after: retry_after.map(str::to_owned) }
    }

    #[test]
    fn a_download_without_progress_is_given_up_after_some_attempts() {
        let mut patience = Patience::default();
        let pauses: Vec<_> =
            std::iter::from_fn(|| patience.after(&UpstreamError::Timeout, 0.5)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600].map(Duration::from_millis));
    }

    #[test]
    fn progress_renews_it() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            assert!(patience.after(&UpstreamError::Timeout, 0.5).is_some());
            patience.progressed();
        }
    }

    #[test]
    fn pauses_are_spread() {
        let pause = |jitter| Patience::default().after(&UpstreamError::Timeout, jitter).unwrap();
        assert_eq!((pause(0.0), pause(1.0)), (FIRST_PAUSE / 2, FIRST_PAUSE * 3 / 2));
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        let tried = |failure| Patience::default().after(&failure, 0.5).is_some();
        for passing in [408, 429, 500, 502, 503, 504] {
            assert!(tried(status(passing, None)), "{passing}");
        }
        for lasting in [400, 401, 403, 404, 416] {
            assert!(!tried(status(lasting, None)), "{lasting}");
        }
        assert!(tried(UpstreamError::Busy));
        assert!(tried(UpstreamError::Token { status: 503 }));
        assert!(!tried(UpstreamError::Token { status: 401 }));
        assert!(!tried(UpstreamError::Protocol("another range")));
        assert!(!tried(UpstreamError::Vetoed("a private address".into())));
    }

    #[test]
    fn an_upstream_that_names_a_moment_is_heard_or_given_up() {
        let pause = |after| Patience::default().after(&status(503, Some(after)), 0.5);
        assert_eq!(pause("3"), Some(Duration::from_secs(3)));
        assert_eq!(pause("0"), Some(FIRST_PAUSE));
        assert_eq!(pause("3600"), None);
        assert_eq!(pause("soon"), Some(FIRST_PAUSE));
        let resting = |seconds| Patience::default().after(&UpstreamError::Resting { seconds }, 0.5);
        assert_eq!((resting(4), resting(60)), (Some(Duration::from_secs(4)), None));
    }
}
