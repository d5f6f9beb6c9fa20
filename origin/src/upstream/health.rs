//! The health of one registry: whether a request may be sent now, and what its outcome changes.
//!
//! A request waits or fails for three reasons, checked in this order: the registry responded 429 and
//! its pause is not over, the circuit breaker is open, or all request slots are taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::HeaderMap;
use tracing::{info, warn};

use super::breaker::Breaker;
use super::error::{FailureClass, UpstreamError};
use super::rate_limit::{self, Quota};
use super::slots::{Slot, Slots};
use crate::config;
use crate::metrics::{Metrics, RegistryLabel};

/// The health of one host, as seen with one credential.
#[derive(Debug)]
pub(super) struct UpstreamHealth {
    label: RegistryLabel,
    metrics: Arc<Metrics>,
    slots: Slots,
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    breaker: Breaker,
    /// The end of the pause after the last 429.
    paused_until: Option<Instant>,
    quota: Option<Quota>,
}

/// The right to send one request. If it is dropped without a report, the request was abandoned.
#[derive(Debug)]
pub(super) struct Permit {
    health: Arc<UpstreamHealth>,
    slot: Slot,
    reported: bool,
}

impl UpstreamHealth {
    pub(super) fn new(
        config: &config::Upstream,
        label: RegistryLabel,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.upstream_circuit_open.get_or_create(&label).set(0);
        let slots = Slots::new(config.max_connections, config.queue_timeout);
        Arc::new(Self { label, metrics, slots, state: Mutex::default() })
    }

    /// Waits for a slot, unless the registry is paused or its breaker open. `is_download`: the
    /// response may take minutes.
    ///
    /// # Errors
    /// The registry is paused or its breaker open, or no slot became free in time.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        is_download: bool,
    ) -> Result<Permit, UpstreamError> {
        self.lock().check(Instant::now())?;
        let slot = self.slots.acquire(is_download).await?;
        let (mut state, now) = (self.lock(), Instant::now());
        // The state may have changed while this request waited.
        state.check(now)?;
        state.breaker.try_acquire(now).map_err(circuit_open)?;
        Ok(Permit { health: Arc::clone(self), slot, reported: false })
    }

    /// Returns the rate limit that the registry last reported.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.lock().quota
    }

    /// Sends no request for this long, as the registry or its token endpoint responded 429.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Some(until));
        drop(state);
        let RegistryLabel { upstream, host } = &self.label;
        warn!(%upstream, %host, seconds = pause.as_secs(), "rate limited; requests are paused");
    }

    fn note_quota(&self, headers: &HeaderMap) {
        let Some(quota) = Quota::of(headers) else { return };
        self.lock().quota = Some(quota);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if let Some(remaining) = quota.remaining {
            self.metrics.rate_limit_remaining.get_or_create(&self.label).set(gauge(remaining));
        }
        if let Some(limit) = quota.limit {
            self.metrics.rate_limit.get_or_create(&self.label).set(gauge(limit));
        }
    }

    fn change_breaker(&self, change: impl FnOnce(&mut Breaker)) {
        let mut state = self.lock();
        let before = state.breaker;
        change(&mut state.breaker);
        let after = state.breaker;
        drop(state);
        let open = !matches!(after, Breaker::Closed { .. });
        self.metrics.upstream_circuit_open.get_or_create(&self.label).set(i64::from(open));
        let RegistryLabel { upstream, host } = &self.label;
        match (before, after) {
            (Breaker::Closed { .. }, Breaker::Open { .. }) => {
                warn!(%upstream, %host, "circuit breaker opened: too many failures in a row");
            }
            (Breaker::Open { .. } | Breaker::HalfOpen { .. }, Breaker::Closed { .. }) => {
                info!(%upstream, %host, "circuit breaker closed: the registry responds again");
            }
            _ => {}
        }
    }

    /// Every holder of the lock only assigns values, so a poisoned state is still consistent.
    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HealthState {
    fn check(&self, now: Instant) -> Result<(), UpstreamError> {
        let paused = self.paused_until.map(|until| until.saturating_duration_since(now));
        if let Some(left) = paused.filter(|left| !left.is_zero()) {
            return Err(UpstreamError::RateLimited { seconds: whole_seconds(left) });
        }
        self.breaker.pause(now).map_or(Ok(()), |pause| Err(circuit_open(pause)))
    }
}

impl Permit {
    /// Records the registry's own response, or that there was none; not what a redirect led to.
    pub(super) fn report(&mut self, result: &Result<reqwest::Response, UpstreamError>) {
        self.reported = true;
        let failed = match result {
            Ok(response) => {
                let headers = response.headers();
                self.health.note_quota(headers);
                if response.status().as_u16() == 429 {
                    self.health.pause(rate_limit::pause(headers, SystemTime::now()));
                }
                response.status().is_server_error()
            }
            Err(error) => error.class() == FailureClass::Outage,
        };
        self.health.change_breaker(|breaker| match failed {
            true => breaker.failed(Instant::now(), rand::random()),
            false => breaker.succeeded(),
        });
    }

    /// Returns the slot, to be kept until the response body is read.
    pub(super) fn slot(&self) -> Slot {
        Slot::clone(&self.slot)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.reported {
            self.health.change_breaker(|breaker| breaker.abandoned(Instant::now()));
        }
    }
}

fn circuit_open(pause: Duration) -> UpstreamError {
    UpstreamError::CircuitOpen { seconds: whole_seconds(pause) }
}

fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
