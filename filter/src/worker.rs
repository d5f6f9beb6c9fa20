//! The state that all requests of a worker share under one configuration.

use router::{Call, CallError, CallResult, Millis, Router};

use crate::calls::{self, OutstandingCalls, Refresh, SentCall};
use crate::host::{Host, HostError};
use crate::log;
use crate::metrics::Metrics;

/// One worker's state.
#[derive(Debug)]
pub(crate) struct Worker<H> {
    pub(crate) host: H,
    /// `None` if no valid configuration has been loaded; all requests are then rejected.
    pub(crate) router: Option<Router>,
    pub(crate) metrics: Metrics,
    pub(crate) calls: OutstandingCalls,
}

impl<H: Host> Worker<H> {
    pub(crate) fn new(host: H, router: Option<Router>) -> Self {
        let rules = router.iter().flat_map(|router| router.ruleset().actions());
        let metrics = Metrics::new(rules.map(|(rule, action)| (rule, action.as_str())));
        Self { host, router, metrics, calls: OutstandingCalls::default() }
    }

    /// Sends a call of the request of `context`.
    pub(crate) fn send_for(&self, context: u32, call: &Call, now: Millis) -> Option<SentCall> {
        let sent = self.send(call, now).ok()?;
        self.calls.add_request(sent.token, context);
        Some(sent)
    }

    fn send(&self, call: &Call, now: Millis) -> Result<SentCall, HostError> {
        let router = self.router.as_ref().ok_or(HostError)?;
        calls::send(&self.host, router.topology(), call, now)
    }

    /// Ends refreshes without a response, and sends the next ones.
    pub(crate) fn refresh(&self, now: Millis) {
        let Some(router) = &self.router else { return };
        for lost in self.calls.take_lost_refreshes(now) {
            self.end_refresh(lost, &Err(CallError::Timeout), now);
        }
        for call in router.take_refreshes() {
            self.metrics.refresh(&self.host);
            let sent = self.send(&call, now);
            let refresh = Refresh::new(call, now);
            match sent {
                Ok(sent) => self.calls.add_refresh(sent.token, refresh),
                Err(HostError) => self.end_refresh(refresh, &Err(CallError::Dispatch), now),
            }
        }
    }

    pub(crate) fn end_refresh(&self, refresh: Refresh, result: &CallResult, now: Millis) {
        self.metrics.call_duration(&self.host, now.since(refresh.sent_at));
        if let Some(router) = &self.router {
            router.refreshed(refresh.call, result, now);
        }
    }

    /// Reports what the router has counted since the last report, in metrics and logs.
    pub(crate) fn report(&self) {
        let Some(router) = &self.router else { return };
        let (host, stats) = (&self.host, router.take_stats());
        stats.lookups().for_each(|(lookup, count)| self.metrics.lookup(host, lookup, count));
        self.metrics.memory(host, host.memory_bytes());
        if stats.calls().next().is_none() {
            return;
        }
        stats.calls().for_each(|(outcome, count)| self.metrics.call(host, outcome, count));
        self.metrics.retries(host, stats.retries);
        self.metrics.entries(host, router.cache_entries());
        if let Some(change) = stats.availability {
            log::availability(host, change);
        }
    }
}
