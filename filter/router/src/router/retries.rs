//! Whether and when to ask again after a passing failure.

use crate::classify::CallResult;
use crate::config::TopologyService;
use crate::decision::Millis;

/// The longest wait before a retry, unless the first is longer.
const MAX_BACKOFF_MS: u64 = 250;

/// What a call saves up, so that five of them pay for one retry.
const SAVED_BY_A_CALL: u32 = 1;
const PRICE: u32 = 5 * SAVED_BY_A_CALL;
/// The balance a quiet worker has, and gets back at a retry a second.
const FLOOR: u32 = 10 * PRICE;
/// The most that is saved up.
const CEILING: u32 = 100 * PRICE;

/// Keeps retries to a fifth of the calls, and ten more: an outage is not to be multiplied.
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
    pub(crate) fn earn(&mut self, calls: usize) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let earned = self.balance.saturating_add(calls.saturating_mul(SAVED_BY_A_CALL));
        self.balance = earned.min(CEILING);
    }

    /// Pays for `calls` retries, all or none.
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

/// Milliseconds before a question is asked again, `attempt` counting from 0.
pub(crate) fn backoff(
    topology: &TopologyService,
    attempt: u32,
    question: &str,
    now: Millis,
) -> u64 {
    let doubled = topology.backoff_ms.saturating_mul(1 << attempt.min(16));
    let longest = doubled.min(MAX_BACKOFF_MS.max(topology.backoff_ms));
    let noise = crc32fast::hash(&[question.as_bytes(), &now.0.to_le_bytes()].concat());
    let half = longest / 2;
    longest - u64::from(noise).checked_rem(half + 1).unwrap_or_default()
}

/// Milliseconds the service itself asks to wait, of a `Retry-After` in seconds; a date is not read.
pub(crate) fn asked_to_wait(result: &CallResult) -> u64 {
    let header = result.as_ref().ok().and_then(|answer| match answer.status {
        429 | 503 => answer.retry_after.as_deref(),
        _ => None,
    });
    let text = header.and_then(|text| std::str::from_utf8(text).ok());
    let seconds = text.and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or_default();
    u64::from(seconds) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::HttpAnswer;

    fn topology(backoff_ms: u64) -> TopologyService {
        let json = format!(r#"{{"cluster":"t","authority":"t","backoffMs":{backoff_ms}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    /// Retries a budget pays for when each call fails once.
    fn paid(budget: &mut RetryBudget, calls: u64, from: u64, every_ms: u64) -> usize {
        let times = (0..calls).map(|n| Millis(from + n * every_ms));
        let paid = times.filter(|now| {
            budget.earn(1);
            budget.pay(1, *now)
        });
        paid.count()
    }

    #[test]
    fn of_many_failing_calls_a_fifth_and_ten_are_asked_again() {
        assert_eq!(paid(&mut RetryBudget::default(), 1000, 0, 0), 10 + 1000 / 5);
    }

    #[test]
    fn a_quiet_worker_gets_ten_retries_back_at_one_a_second() {
        let mut budget = RetryBudget::default();
        paid(&mut budget, 1000, 0, 0);
        assert!(!budget.pay(1, Millis(999)));
        assert!(budget.pay(1, Millis(1_000)));
        assert!(!budget.pay(1, Millis(1_001)));
        let later = Millis(1_000_000);
        assert!(budget.pay(10, later) && !budget.pay(1, later));
    }

    #[test]
    fn a_round_is_paid_whole_or_not_at_all() {
        let mut budget = RetryBudget::default();
        assert!(!budget.pay(11, Millis(0)));
        assert!(budget.pay(10, Millis(0)));
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread_over_their_upper_half() {
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
    fn retry_after_counts_for_429_and_503_in_seconds() {
        let answer = |status, value: &[u8]| {
            let retry_after = Some(value.to_vec());
            asked_to_wait(&Ok(HttpAnswer { status, retry_after, ..HttpAnswer::default() }))
        };
        assert_eq!((answer(429, b"2"), answer(503, b" 1 ")), (2000, 1000));
        assert_eq!((answer(500, b"2"), answer(503, b"soon"), answer(429, b"\xff")), (0, 0, 0));
        assert_eq!(answer(503, b"-1"), 0);
    }
}
