//! Calls to the Topology Service that have no response yet.
//!
//! Envoy delivers a response to the context that sent the call, which is not always the context of the
//! request that waits for it. The owner of a call is therefore found by the call's token.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use router::config::TopologyService;
use router::{CLASSIFY_PATH, Call, CallError, CallResponse, CallResult, Millis};

use crate::host::{Host, HostError, HttpCall};

/// The milliseconds after its timeout at which a call is given up, in case the host does not end it.
const GRACE_MS: u64 = 250;

/// A call that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentCall {
    pub(crate) token: u32,
    pub(crate) sent_at: Millis,
    pub(crate) give_up_at: Millis,
}

/// Who waits for a response.
#[derive(Debug)]
pub(crate) enum CallOwner {
    /// The request of this context.
    Request(u32),
    /// The cache, which revalidates an entry.
    Refresh(Refresh),
}

/// A call that revalidates a cache entry; no request waits for it.
#[derive(Debug)]
pub(crate) struct Refresh {
    pub(crate) call: Call,
    pub(crate) sent_at: Millis,
    give_up_at: Millis,
}

impl Refresh {
    pub(crate) fn new(call: Call, now: Millis) -> Self {
        Self { sent_at: now, give_up_at: give_up_at(&call, now), call }
    }
}

/// The outstanding calls of one worker.
#[derive(Debug, Default)]
pub(crate) struct OutstandingCalls {
    /// The context of the request that waits for each token.
    requests: RefCell<BTreeMap<u32, u32>>,
    refreshes: RefCell<BTreeMap<u32, Refresh>>,
}

impl OutstandingCalls {
    /// Records that the request of `context` waits for a token.
    pub(crate) fn add_request(&self, token: u32, context: u32) {
        self.requests.borrow_mut().insert(token, context);
    }

    pub(crate) fn add_refresh(&self, token: u32, refresh: Refresh) {
        self.refreshes.borrow_mut().insert(token, refresh);
    }

    /// Forgets a call of a request, whose response will be ignored.
    pub(crate) fn forget(&self, token: u32) {
        self.requests.borrow_mut().remove(&token);
    }

    /// Removes a call that has ended and returns its owner.
    pub(crate) fn take(&self, token: u32) -> Option<CallOwner> {
        if let Some(context) = self.requests.borrow_mut().remove(&token) {
            return Some(CallOwner::Request(context));
        }
        self.refreshes.borrow_mut().remove(&token).map(CallOwner::Refresh)
    }

    /// Removes and returns the refreshes to give up.
    pub(crate) fn take_lost_refreshes(&self, now: Millis) -> Vec<Refresh> {
        let lost = |_: &u32, refresh: &mut Refresh| refresh.give_up_at <= now;
        self.refreshes.borrow_mut().extract_if(.., lost).map(|(_, refresh)| refresh).collect()
    }

    /// Returns when the next refresh is given up.
    pub(crate) fn next_lost_refresh(&self) -> Option<Millis> {
        self.refreshes.borrow().values().map(|refresh| refresh.give_up_at).min()
    }
}

/// Sends a call.
pub(crate) fn send(
    host: &impl Host,
    topology: &TopologyService,
    call: &Call,
    now: Millis,
) -> Result<SentCall, HostError> {
    let token = host.call(&HttpCall {
        cluster: &topology.cluster,
        headers: &[
            (":method", "POST"),
            (":path", CLASSIFY_PATH),
            (":authority", &topology.authority),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ],
        body: call.body.as_bytes(),
        timeout: Duration::from_millis(call.timeout_ms),
    })?;
    Ok(SentCall { token, sent_at: now, give_up_at: give_up_at(call, now) })
}

fn give_up_at(call: &Call, now: Millis) -> Millis {
    now.plus(call.timeout_ms).plus(GRACE_MS)
}

/// Reads the response whose callback is running. Envoy reports a failed call as a response without
/// headers.
pub(crate) fn read_response(host: &impl Host, headers: usize, body: usize) -> CallResult {
    let status = (headers > 0).then(|| host.call_response_header(":status")).flatten();
    let status = status.as_deref().and_then(|text| std::str::from_utf8(text).ok());
    Ok(CallResponse {
        status: status.and_then(|text| text.parse().ok()).ok_or(CallError::Transport)?,
        cache_control: host.call_response_header("cache-control"),
        retry_after: host.call_response_header("retry-after"),
        body: host.call_response_body(body),
    })
}
