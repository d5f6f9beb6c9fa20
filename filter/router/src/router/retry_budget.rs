//! Retries after transient failures: how many are allowed, and when they are made.

use crate::classify::CallResult;
use crate::config::TopologyService;
use crate::time::Millis;

/// The longest backoff, unless the configured first backoff is longer.
const MAX_BACKOFF_MS: u64 = 250;

/// The credit of a call. Five calls pay for one retry.
const CREDIT: u32 = 1;
const PRICE: u32 = 5 * CREDIT;
/// The balance of an idle worker, restored at the rate of one retry a second.
const FLOOR: u32 = 10 * PRICE;
/// The highest balance.
const CEILING: u32 = 100 * PRICE;

/// Limits retries to a fifth of the calls plus ten, so that they do not amplify an outage.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    balance: u32,
    refilled: Millis,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { balance: FLOOR, refilled: Millis(0) }
    }
}

impl RetryBudget {
    /// Credits calls.
    pub(crate) fn earn(&mut self, calls: usize) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let earned = self.balance.saturating_add(calls.saturating_mul(CREDIT));
        self.balance = earned.min(CEILING);
    }

    /// Pays for all of `calls` retries or for none, and returns whether it did.
    pub(crate) fn pay(&mut self, calls: usize, now: Millis) -> bool {
        self.refill(now);
        let price = u32::try_from(calls).unwrap_or(u32::MAX).saturating_mul(PRICE);
        let left = self.balance.checked_sub(price);
        self.balance = left.unwrap_or(self.balance);
        left.is_some()
    }

    fn refill(&mut self, now: Millis) {
        let seconds = now.since(self.refilled) / 1000;
        if seconds == 0 {
            return;
        }
        self.refilled = now;
        let gain = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PRICE);
        self.balance = self.balance.max(self.balance.saturating_add(gain).min(FLOOR));
    }
}

/// Returns the milliseconds before a query is retried; `attempt` counts from 0.
pub(crate) fn backoff(topology: &TopologyService, attempt: u32, query: &str, now: Millis) -> u64 {
    let doubled = topology.backoff_ms.saturating_mul(1 << attempt.min(16));
    let longest = doubled.min(MAX_BACKOFF_MS.max(topology.backoff_ms));
    let noise = crc32fast::hash(&[query.as_bytes(), &now.0.to_le_bytes()].concat());
    let half = longest / 2;
    longest - u64::from(noise).checked_rem(half + 1).unwrap_or_default()
}

/// Returns the milliseconds that the service asked to wait: a `Retry-After` in seconds. A date is
/// ignored.
pub(crate) fn retry_after_ms(result: &CallResult) -> u64 {
    let header = result.as_ref().ok().and_then(|response| match response.status {
        429 | 503 => response.retry_after.as_deref(),
        _ => None,
    });
    let text = header.and_then(|text| std::str::from_utf8(text).ok());
    let seconds = text.and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or_default();
    u64::from(seconds) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::CallResponse;

    fn topology(backoff_ms: u64) -> TopologyService {
        let json = format!(r#"{{"cluster":"t","authority":"t","backoffMs":{backoff_ms}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    /// Returns the retries that a budget pays for if every call fails once.
    fn paid(budget: &mut RetryBudget, calls: u64, from: u64, every_ms: u64) -> usize {
        let times = (0..calls).map(|n| Millis(from + n * every_ms));
        let paid = times.filter(|now| {
            budget.earn(1);
            budget.pay(1, *now)
        });
        paid.count()
    }

    #[test]
    fn a_fifth_of_the_calls_plus_ten_are_retried() {
        assert_eq!(paid(&mut RetryBudget::default(), 1000, 0, 0), 10 + 1000 / 5);
    }

    #[test]
    fn an_idle_worker_regains_ten_retries_at_one_a_second() {
        let mut budget = RetryBudget::default();
        paid(&mut budget, 1000, 0, 0);
        assert!(!budget.pay(1, Millis(999)));
        assert!(budget.pay(1, Millis(1_000)));
        assert!(!budget.pay(1, Millis(1_001)));
        let later = Millis(1_000_000);
        assert!(budget.pay(10, later) && !budget.pay(1, later));
    }

    #[test]
    fn a_set_of_retries_is_paid_for_as_a_whole() {
        let mut budget = RetryBudget::default();
        assert!(!budget.pay(11, Millis(0)));
        assert!(budget.pay(10, Millis(0)));
    }

    #[test]
    fn the_backoff_doubles_up_to_a_limit_with_jitter_in_its_upper_half() {
        for (attempt, longest) in [(0, 50), (1, 100), (2, 200), (3, 250), (99, 250)] {
            for n in 0..100 {
                let wait = backoff(&topology(50), attempt, "q", Millis(n));
                assert!((longest / 2..=longest).contains(&wait), "{attempt}: {wait}");
            }
        }
        assert!(backoff(&topology(1000), 5, "q", Millis(0)) >= 500);
        assert_ne!(
            backoff(&topology(50), 2, "a", Millis(0)),
            backoff(&topology(50), 2, "b", Millis(0))
        );
    }

    #[test]
    fn retry_after_in_seconds_is_honoured_for_429_and_503() {
        let wait = |status, value: &[u8]| {
            let retry_after = Some(value.to_vec());
            retry_after_ms(&Ok(CallResponse { status, retry_after, ..CallResponse::default() }))
        };
        assert_eq!((wait(429, b"2"), wait(503, b" 1 ")), (2000, 1000));
        assert_eq!((wait(500, b"2"), wait(503, b"soon"), wait(429, b"\xff")), (0, 0, 0));
        assert_eq!(wait(503, b"-1"), 0);
    }
}
