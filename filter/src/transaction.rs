//! One request: removes the headers that only the edge may set, passes the request to the router, and
//! carries out the steps that the router returns.

use std::rc::Rc;

use proxy_wasm::types::Action;
use router::{
    CELL, CELL_RULE, Call, CallError, CallResult, Decision, FORWARDED_HOST, Headers, LocalReply,
    Millis, Pending, Rejection, Request, Router, Step, is_owned_header,
};

use crate::calls::SentCall;
use crate::host::{Host, HostError};
use crate::log::{self, RequestError};
use crate::worker::Worker;

/// One request and its response.
#[derive(Debug)]
pub(crate) struct Transaction<H> {
    worker: Rc<Worker<H>>,
    context: u32,
    authority: Vec<u8>,
    /// The part of `:path` from its `?` on.
    query: Vec<u8>,
    state: TransactionState,
}

/// The state of a request. Only `Waiting` accepts the results of calls, so a late one has no effect.
#[derive(Debug, Default)]
enum TransactionState {
    #[default]
    New,
    Waiting {
        pending: Pending,
        calls: Vec<CallState>,
    },
    Routed(Decision),
    Replied,
    Ended,
}

/// The state of a call to the Topology Service.
#[derive(Debug)]
enum CallState {
    /// To be sent at this time.
    Scheduled(Call, Millis),
    Sent(SentCall),
    Finished(CallResult),
}

impl CallState {
    fn due(&self) -> Option<Millis> {
        match self {
            Self::Scheduled(_, at) => Some(*at),
            Self::Sent(sent) => Some(sent.give_up_at),
            Self::Finished(_) => None,
        }
    }

    fn token(&self) -> Option<u32> {
        match self {
            Self::Sent(sent) => Some(sent.token),
            Self::Scheduled(..) | Self::Finished(_) => None,
        }
    }
}

impl<H: Host> Transaction<H> {
    pub(crate) fn new(worker: Rc<Worker<H>>, context: u32) -> Self {
        let (authority, query) = (Vec::new(), Vec::new());
        Self { worker, context, authority, query, state: TransactionState::New }
    }

    /// Handles the headers of the request. `may_wait` is false if too many requests wait already.
    pub(crate) fn on_request_headers(&mut self, may_wait: bool) -> Action {
        let worker = Rc::clone(&self.worker);
        let Some(router) = &worker.router else {
            return self.reply(&Rejection::NoCell.into());
        };
        let headers = self.remove_owned(worker.host.request_headers());
        let request = Request::new(&headers);
        self.authority = request.authority().to_vec();
        if !request.query().is_empty() {
            self.query = [b"?", request.query().as_bytes()].concat();
        }
        let now = worker.host.now();
        let step = router.start(&request, now);
        self.carry_out(router, step, may_wait, now)
    }

    /// Returns when the request must be woken without a response; `None` if it does not wait.
    pub(crate) fn due(&self) -> Option<Millis> {
        match &self.state {
            TransactionState::Waiting { calls, .. } => {
                calls.iter().filter_map(CallState::due).min()
            }
            _ => None,
        }
    }

    /// Takes the result of a call, and resumes if it was the last one.
    pub(crate) fn on_response(&mut self, token: u32, result: CallResult, now: Millis) {
        let TransactionState::Waiting { calls, .. } = &mut self.state else { return };
        let call = calls.iter_mut().find(|call| call.token() == Some(token));
        let Some(call) = call else { return };
        if let CallState::Sent(sent) = call {
            self.worker.metrics.call_duration(&self.worker.host, now.since(sent.sent_at));
        }
        *call = CallState::Finished(result);
        self.resume(now);
    }

    /// Sends the calls that are scheduled, and gives up those without a response.
    pub(crate) fn on_due(&mut self, now: Millis) {
        let TransactionState::Waiting { calls, .. } = &mut self.state else { return };
        for call in calls.iter_mut().filter(|call| call.due().is_some_and(|due| due <= now)) {
            *call = match call {
                CallState::Scheduled(scheduled, _) => {
                    send(&self.worker, self.context, scheduled, now)
                }
                CallState::Sent(sent) => {
                    self.worker.calls.forget(sent.token);
                    CallState::Finished(Err(CallError::Timeout))
                }
                CallState::Finished(_) => continue,
            };
        }
        self.resume(now);
    }

    /// Ends the request, because the response is complete or the client has disconnected. Responses
    /// to its calls are ignored from now on.
    pub(crate) fn end(&mut self) {
        let state = std::mem::replace(&mut self.state, TransactionState::Ended);
        if let TransactionState::Waiting { calls, .. } = state {
            calls.iter().filter_map(CallState::token).for_each(|token| {
                self.worker.calls.forget(token);
            });
        }
    }

    /// Handles the headers of the response.
    pub(crate) fn on_response_headers(&self) {
        let host = &self.worker.host;
        if let (TransactionState::Routed(decision), Some(router)) =
            (&self.state, &self.worker.router)
            && router.response_headers()
        {
            // These headers are informational, so failing to set them is not an error.
            let _ = host.set_response_header(CELL, decision.cluster.as_bytes());
            let _ = host.set_response_header(CELL_RULE, decision.rule.as_bytes());
        }
    }

    /// Removes the headers that only the edge may set, from the request and from what rules see.
    fn remove_owned(&self, mut headers: Headers) -> Headers {
        for (name, _) in headers.extract_if(.., |(name, _)| is_owned_header(name)) {
            // A failure is harmless: the headers that matter are replaced when the request is routed.
            let _ = self.worker.host.remove_request_header(&name);
        }
        headers
    }

    /// Carries out steps until the request is routed, rejected, or waits.
    fn carry_out(
        &mut self,
        router: &Router,
        mut step: Step,
        may_wait: bool,
        now: Millis,
    ) -> Action {
        loop {
            match step {
                Step::Continue(decision) => return self.route(decision),
                Step::Reply(reply) => return self.reply(&reply),
                Step::Call(..) if !may_wait => {
                    self.report_error(RequestError::TooManyWaiting);
                    return self.reply(&Rejection::Unavailable.into());
                }
                Step::Call(calls, pending) => {
                    let calls: Vec<_> =
                        calls.into_iter().map(|call| self.send_or_schedule(call, now)).collect();
                    if calls.iter().any(|call| call.due().is_some()) {
                        self.state = TransactionState::Waiting { pending, calls };
                        return Action::Pause;
                    }
                    step = router.resume(pending, results(calls), now);
                }
            }
        }
    }

    fn send_or_schedule(&self, call: Call, now: Millis) -> CallState {
        match call.delay_ms {
            0 => send(&self.worker, self.context, &call, now),
            delay_ms => CallState::Scheduled(call, now.plus(delay_ms)),
        }
    }

    /// Passes the results to the router when all calls have finished, and continues the request if it
    /// is routed.
    fn resume(&mut self, now: Millis) {
        if self.due().is_some() {
            return;
        }
        let worker = Rc::clone(&self.worker);
        let TransactionState::Waiting { pending, calls } = std::mem::take(&mut self.state) else {
            return;
        };
        let Some(router) = &worker.router else { return };
        let step = router.resume(pending, results(calls), now);
        // The request keeps its place among those that wait.
        if self.carry_out(router, step, true, now) == Action::Continue
            && worker.host.resume_request().is_err()
        {
            self.report_error(RequestError::Resume);
        }
    }

    fn route(&mut self, decision: Decision) -> Action {
        match self.set_route(&decision) {
            Ok(()) => {
                self.worker.metrics.request(&self.worker.host, &decision);
                self.state = TransactionState::Routed(decision);
                Action::Continue
            }
            Err(HostError) => {
                self.report_error(RequestError::RouteHeaders);
                self.reply(&Rejection::NoCell.into())
            }
        }
    }

    fn set_route(&self, decision: &Decision) -> Result<(), HostError> {
        let host = &self.worker.host;
        for (name, value) in decision.headers() {
            host.set_request_header(name, value.as_bytes())?;
        }
        host.set_request_header(FORWARDED_HOST, &self.authority)?;
        if let Some(path) = &decision.rewrite_path {
            host.set_request_header(":path", &[path.as_bytes(), &self.query].concat())?;
        }
        // Hosts without this function choose the route after the filter has set the headers.
        let _ = host.clear_route_cache();
        Ok(())
    }

    fn reply(&mut self, reply: &LocalReply) -> Action {
        self.state = TransactionState::Replied;
        let host = &self.worker.host;
        self.worker.metrics.rejection(host, reply.rejection);
        log::rejection(host, reply);
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if host.reply(reply.status, &headers, reply.body.as_bytes()).is_err() {
            self.report_error(RequestError::Reply);
        }
        // The request is never resumed: the reply ends the stream.
        Action::Pause
    }

    fn report_error(&self, error: RequestError) {
        self.worker.metrics.error(&self.worker.host, error);
        log::error(&self.worker.host, error);
    }
}

fn send<H: Host>(worker: &Worker<H>, context: u32, call: &Call, now: Millis) -> CallState {
    match worker.send_for(context, call, now) {
        Some(sent) => CallState::Sent(sent),
        None => CallState::Finished(Err(CallError::Dispatch)),
    }
}

fn results(calls: Vec<CallState>) -> Vec<CallResult> {
    let result = |call| match call {
        CallState::Finished(result) => result,
        CallState::Scheduled(..) | CallState::Sent(_) => Err(CallError::Timeout),
    };
    calls.into_iter().map(result).collect()
}
