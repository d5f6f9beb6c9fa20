//! The line to one registry: whether it may be asked now, and what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::HeaderMap;
use tracing::{info, warn};

use super::breaker::Breaker;
use super::limit::{self, Quota};
use super::slots::{Place, Slots};
use super::{FailureClass, UpstreamError};
use crate::config;
use crate::metrics::{Metrics, RegistryLabel};

/// One registry, asked by one login.
#[derive(Debug)]
pub(super) struct Line {
    label: RegistryLabel,
    metrics: Arc<Metrics>,
    slots: Slots,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// A 429 asked for peace until then.
    cooling_until: Option<Instant>,
    quota: Option<Quota>,
}

/// The right to send one request; dropped without a report, it was given up.
#[derive(Debug)]
pub(super) struct Pass {
    line: Arc<Line>,
    place: Place,
    reported: bool,
}

impl Line {
    pub(super) fn new(
        config: &config::Upstream,
        label: RegistryLabel,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.upstream_circuit_open.get_or_create(&label).set(0);
        let slots = Slots::new(config.max_connections, config.queue_timeout);
        Arc::new(Self { label, metrics, slots, state: Mutex::default() })
    }

    /// Waits for a place; fails at once where the registry is left alone. `long`: the answer may
    /// take minutes.
    pub(super) async fn enter(self: &Arc<Self>, long: bool) -> Result<Pass, UpstreamError> {
        self.lock().refusal(Instant::now()).map_or(Ok(()), Err)?;
        let place = self.slots.take(long).await?;
        let (mut state, now) = (self.lock(), Instant::now());
        // While this request waited, another may have learnt something.
        state.refusal(now).map_or(Ok(()), Err)?;
        state.breaker.admit(now).map_err(resting)?;
        Ok(Pass { line: Arc::clone(self), place, reported: false })
    }

    /// What the registry said last about its rate limit.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.lock().quota
    }

    /// The registry's account is used up, as the registry or its token endpoint said.
    pub(super) fn cool_down(&self, headers: &HeaderMap) {
        let pause = limit::pause(headers, SystemTime::now());
        let until = Instant::now() + pause;
        let mut state = self.lock();
        state.cooling_until = state.cooling_until.max(Some(until));
        drop(state);
        let RegistryLabel { upstream, host } = &self.label;
        warn!(%upstream, %host, seconds = pause.as_secs(), "rate limited; left alone");
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
                warn!(%upstream, %host, "fails again and again; left alone for a while");
            }
            (Breaker::Open { .. } | Breaker::Probing { .. }, Breaker::Closed { .. }) => {
                info!(%upstream, %host, "answers again");
            }
            _ => {}
        }
    }

    /// A holder only moves values, so what a panicking one left behind is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self, now: Instant) -> Option<UpstreamError> {
        let cooling = self.cooling_until.map(|until| until.saturating_duration_since(now));
        if let Some(left) = cooling.filter(|left| !left.is_zero()) {
            return Some(UpstreamError::RateLimited { seconds: whole_seconds(left) });
        }
        self.breaker.pause(now).map(resting)
    }
}

impl Pass {
    /// The registry's own answer, or that there was none; what a redirect leads to says nothing.
    pub(super) fn report(&mut self, answer: &Result<reqwest::Response, UpstreamError>) {
        self.reported = true;
        let failed = match answer {
            Ok(response) => {
                self.line.note_quota(response.headers());
                if response.status().as_u16() == 429 {
                    self.line.cool_down(response.headers());
                }
                response.status().is_server_error()
            }
            Err(error) => error.class() == FailureClass::Outage,
        };
        self.line.change_breaker(|breaker| match failed {
            true => breaker.failed(Instant::now(), rand::random()),
            false => breaker.succeeded(),
        });
    }

    /// To be kept as long as the answer is read.
    pub(super) fn place(&self) -> Place {
        Place::clone(&self.place)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.reported {
            self.line.change_breaker(|breaker| breaker.abandoned(Instant::now()));
        }
    }
}

fn resting(pause: Duration) -> UpstreamError {
    UpstreamError::Resting { seconds: whole_seconds(pause) }
}

fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
