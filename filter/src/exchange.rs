//! One request: strips what only the edge may say, shows the rest to the router, and carries out
//! the step that comes back.

use std::rc::Rc;

use proxy_wasm::types::Action;
use router::{
    CELL, CELL_RULE, Call, CallError, CallResult, Decision, FORWARDED_HOST, Headers, LocalReply,
    Millis, Pending, Refusal, Request, Router, Step, is_owned_header,
};

use crate::host::{Host, Refused};
use crate::log::{self, Trouble};
use crate::worker::{Sent, Worker};

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange<H> {
    worker: Rc<Worker<H>>,
    context: u32,
    authority: Vec<u8>,
    /// The part of `:path` from its `?` on.
    query: Vec<u8>,
    state: State,
}

/// Where a request stands. Only `Waiting` accepts answers, so a late one changes nothing.
#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    Waiting {
        pending: Pending,
        calls: Vec<Asked>,
    },
    Routed(Decision),
    Answered,
    Gone,
}

/// A call to the Topology Service.
#[derive(Debug)]
enum Asked {
    /// Not sent before its time.
    Later(Call, Millis),
    UnderWay(Sent<u32>),
    Ended(CallResult),
}

impl Asked {
    fn due(&self) -> Option<Millis> {
        match self {
            Self::Later(_, at) => Some(*at),
            Self::UnderWay(sent) => Some(sent.give_up),
            Self::Ended(_) => None,
        }
    }

    fn token(&self) -> Option<u32> {
        match self {
            Self::UnderWay(sent) => Some(sent.token),
            Self::Later(..) | Self::Ended(_) => None,
        }
    }
}

impl<H: Host> Exchange<H> {
    pub(crate) fn new(worker: Rc<Worker<H>>, context: u32) -> Self {
        let (authority, query) = (Vec::new(), Vec::new());
        Self { worker, context, authority, query, state: State::New }
    }

    /// The request's headers are there.
    pub(crate) fn start(&mut self) -> Action {
        let worker = Rc::clone(&self.worker);
        let Some(router) = &worker.router else {
            return self.answer(&Refusal::NoCell.into());
        };
        let headers = self.owned_stripped(worker.host.request_headers());
        let request = Request::new(&headers);
        self.authority = request.authority().to_vec();
        if !request.query().is_empty() {
            self.query = [b"?", request.query().as_bytes()].concat();
        }
        let now = worker.host.now();
        let step = router.start(&request, now);
        self.carry_out(router, step, now)
    }

    /// When something is to be done without an answer having come; none unless it waits.
    pub(crate) fn due(&self) -> Option<Millis> {
        match &self.state {
            State::Waiting { calls, .. } => calls.iter().filter_map(Asked::due).min(),
            _ => None,
        }
    }

    /// Takes the answer of `token`, if it waits for one; after the last of a round it goes on.
    pub(crate) fn answered(&mut self, token: u32, result: CallResult, now: Millis) {
        let State::Waiting { calls, .. } = &mut self.state else { return };
        let waited = calls.iter_mut().find(|call| call.token() == Some(token));
        let Some(call) = waited else { return };
        if let Asked::UnderWay(sent) = call {
            self.worker.metrics.answered_after(&self.worker.host, now.since(sent.since));
        }
        *call = Asked::Ended(result);
        self.resume(now);
    }

    /// Sends what waited for its time, and gives up what waited too long.
    pub(crate) fn wake(&mut self, now: Millis) {
        let State::Waiting { calls, .. } = &mut self.state else { return };
        for call in calls.iter_mut().filter(|call| call.due().is_some_and(|due| due <= now)) {
            *call = match call {
                Asked::Later(later, _) => send(&self.worker, self.context, later, now),
                Asked::UnderWay(sent) => {
                    self.worker.disown(sent.token);
                    Asked::Ended(Err(CallError::Timeout))
                }
                Asked::Ended(_) => continue,
            };
        }
        self.resume(now);
    }

    /// The client is served, or has gone; whatever comes now comes too late.
    pub(crate) fn end(&mut self) {
        if let State::Waiting { calls, .. } = std::mem::replace(&mut self.state, State::Gone) {
            calls.iter().filter_map(Asked::token).for_each(|token| self.worker.disown(token));
            self.worker.forget(self.context);
        }
    }

    /// The response's headers are there.
    pub(crate) fn responded(&self) {
        let host = &self.worker.host;
        if let (State::Routed(decision), Some(router)) = (&self.state, &self.worker.router)
            && router.response_headers()
        {
            // For people's eyes only: a response without them is as good.
            let _ = host.set_response_header(CELL, decision.cluster.as_bytes());
            let _ = host.set_response_header(CELL_RULE, decision.rule.as_bytes());
        }
    }

    /// Removes what only the edge may say, from the request and from what the rules see.
    fn owned_stripped(&self, mut headers: Headers) -> Headers {
        for (name, _) in headers.extract_if(.., |(name, _)| is_owned_header(name)) {
            // Nothing to do about a refusal: the headers that matter are replaced later on.
            let _ = self.worker.host.remove_request_header(&name);
        }
        headers
    }

    /// Follows steps until the request goes on, is answered, or waits.
    fn carry_out(&mut self, router: &Router, mut step: Step, now: Millis) -> Action {
        loop {
            match step {
                Step::Continue(decision) => return self.route(decision),
                Step::Reply(reply) => return self.answer(&reply),
                Step::Ask(..) if !self.worker.has_room_for(self.context) => {
                    self.trouble(Trouble::TooManyWaiting);
                    return self.answer(&Refusal::Unavailable.into());
                }
                Step::Ask(asked, pending) => {
                    let calls: Vec<_> = asked.into_iter().map(|call| self.ask(call, now)).collect();
                    if calls.iter().any(|call| call.due().is_some()) {
                        self.state = State::Waiting { pending, calls };
                        return Action::Pause;
                    }
                    step = router.resume(pending, ended(calls), now);
                }
            }
        }
    }

    fn ask(&self, call: Call, now: Millis) -> Asked {
        match call.delay_ms {
            0 => send(&self.worker, self.context, &call, now),
            delay_ms => Asked::Later(call, now.plus(delay_ms)),
        }
    }

    /// Shows the router a whole round of answers, once it is whole, and lets the request go on if
    /// it may.
    fn resume(&mut self, now: Millis) {
        if self.due().is_some() {
            return;
        }
        let worker = Rc::clone(&self.worker);
        let State::Waiting { pending, calls } = std::mem::take(&mut self.state) else { return };
        let Some(router) = &worker.router else { return };
        let step = router.resume(pending, ended(calls), now);
        if self.carry_out(router, step, now) == Action::Continue
            && worker.host.resume_request().is_err()
        {
            self.trouble(Trouble::Resume);
        }
    }

    fn route(&mut self, decision: Decision) -> Action {
        match self.set_route(&decision) {
            Ok(()) => {
                self.worker.metrics.request(&self.worker.host, &decision);
                self.state = State::Routed(decision);
                Action::Continue
            }
            Err(Refused) => {
                self.trouble(Trouble::RouteHeaders);
                self.answer(&Refusal::NoCell.into())
            }
        }
    }

    fn set_route(&self, decision: &Decision) -> Result<(), Refused> {
        let host = &self.worker.host;
        for (name, value) in decision.headers() {
            host.set_request_header(name, value.as_bytes())?;
        }
        host.set_request_header(FORWARDED_HOST, &self.authority)?;
        if let Some(path) = &decision.rewrite_path {
            host.set_request_header(":path", &[path.as_bytes(), &self.query].concat())?;
        }
        // Optional: where the function is missing, setting the headers was enough.
        let _ = host.clear_route_cache();
        Ok(())
    }

    fn answer(&mut self, reply: &LocalReply) -> Action {
        self.state = State::Answered;
        let host = &self.worker.host;
        self.worker.metrics.refusal(host, reply.refusal);
        log::refused(host, reply);
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if host.reply(reply.status, &headers, reply.body.as_bytes()).is_err() {
            self.trouble(Trouble::Reply);
        }
        // Paused for good: Envoy ends the stream with the reply.
        Action::Pause
    }

    fn trouble(&self, trouble: Trouble) {
        self.worker.metrics.trouble(&self.worker.host, trouble);
        log::trouble(&self.worker.host, trouble);
    }
}

fn send<H: Host>(worker: &Worker<H>, context: u32, call: &Call, now: Millis) -> Asked {
    match worker.send_for(context, call, now) {
        Some(sent) => Asked::UnderWay(sent),
        None => Asked::Ended(Err(CallError::Dispatch)),
    }
}

fn ended(calls: Vec<Asked>) -> Vec<CallResult> {
    let result = |call| match call {
        Asked::Ended(result) => result,
        Asked::Later(..) | Asked::UnderWay(_) => Err(CallError::Timeout),
    };
    calls.into_iter().map(result).collect()
}
