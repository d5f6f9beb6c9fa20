//! One request: strips what only the edge may say, shows the rest to the router, and carries out
//! the step that comes back.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use router::{
    CELL, CELL_RULE, CLASSIFY_PATH, Call, CallError, CallResult, Decision, FORWARDED_HOST, Headers,
    HttpAnswer, LocalReply, Pending, Refusal, Request, Router, Step, is_owned_header,
};

use crate::host::{Host, HttpCall, Level, Refused};

/// The HTTP context of one request.
#[derive(Debug)]
pub(crate) struct RequestFilter<H> {
    host: H,
    router: Option<Rc<Router>>,
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
        calls: Vec<InFlight>,
    },
    Routed(Decision),
    Answered,
    Gone,
}

/// A call to the Topology Service and, once it came, its answer.
#[derive(Debug)]
struct InFlight {
    token: Option<u32>,
    answer: Option<CallResult>,
}

impl<H: Host> RequestFilter<H> {
    pub(crate) fn new(host: H, router: Option<Rc<Router>>) -> Self {
        Self { host, router, authority: Vec::new(), query: Vec::new(), state: State::New }
    }

    fn started(&mut self) -> Action {
        let Some(router) = self.router.clone() else {
            return self.answer(&Refusal::NoCell.into());
        };
        let headers = self.owned_stripped(self.host.request_headers());
        let request = Request::new(&headers);
        self.authority = request.authority().to_vec();
        if !request.query().is_empty() {
            self.query = [b"?", request.query().as_bytes()].concat();
        }
        let step = router.start(&request, self.host.now());
        self.carry_out(&router, step)
    }

    /// Removes what only the edge may say, from the request and from what the rules see.
    fn owned_stripped(&self, mut headers: Headers) -> Headers {
        for (name, _) in headers.extract_if(.., |(name, _)| is_owned_header(name)) {
            // Nothing to do about a refusal: the headers that matter are replaced later on.
            let _ = self.host.remove_request_header(&name);
        }
        headers
    }

    /// Follows steps until the request goes on, is answered, or waits.
    fn carry_out(&mut self, router: &Router, mut step: Step) -> Action {
        loop {
            match step {
                Step::Continue(decision) => return self.route(decision),
                Step::Reply(reply) => return self.answer(&reply),
                Step::Ask(asked, pending) => {
                    let calls: Vec<_> = asked.iter().map(|call| self.send(router, call)).collect();
                    if calls.iter().any(|call| call.answer.is_none()) {
                        self.state = State::Waiting { pending, calls };
                        return Action::Pause;
                    }
                    let answers = calls.into_iter().filter_map(|call| call.answer).collect();
                    step = router.resume(pending, answers, self.host.now());
                }
            }
        }
    }

    fn send(&self, router: &Router, call: &Call) -> InFlight {
        let topology = router.topology();
        let sent = self.host.call(&HttpCall {
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
        });
        match sent {
            Ok(token) => InFlight { token: Some(token), answer: None },
            Err(Refused) => InFlight { token: None, answer: Some(Err(CallError::Dispatch)) },
        }
    }

    fn route(&mut self, decision: Decision) -> Action {
        match self.set_route(&decision) {
            Ok(()) => {
                self.state = State::Routed(decision);
                Action::Continue
            }
            Err(Refused) => {
                self.host.log(Level::Error, "the host refused the route's headers");
                self.answer(&Refusal::NoCell.into())
            }
        }
    }

    fn set_route(&self, decision: &Decision) -> Result<(), Refused> {
        for (name, value) in decision.headers() {
            self.host.set_request_header(name, value.as_bytes())?;
        }
        self.host.set_request_header(FORWARDED_HOST, &self.authority)?;
        if let Some(path) = &decision.rewrite_path {
            self.host.set_request_header(":path", &[path.as_bytes(), &self.query].concat())?;
        }
        // Optional: where the function is missing, setting the headers was enough.
        let _ = self.host.clear_route_cache();
        Ok(())
    }

    fn answer(&mut self, reply: &LocalReply) -> Action {
        self.state = State::Answered;
        if reply.refusal == Refusal::Unavailable {
            self.host.log(Level::Warn, "the Topology Service is unavailable");
        }
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if self.host.reply(reply.status, &headers, reply.body.as_bytes()).is_err() {
            self.host.log(Level::Error, "the host refused a reply");
        }
        // Paused for good: Envoy ends the stream with the reply.
        Action::Pause
    }

    /// Takes the answer of `token`, if one is waited for; says whether it was the last.
    fn answered(&mut self, token: u32, read: impl FnOnce(&H) -> CallResult) -> bool {
        let State::Waiting { calls, .. } = &mut self.state else { return false };
        let Some(call) = calls.iter_mut().find(|call| call.token == Some(token)) else {
            return false;
        };
        call.token = None;
        call.answer = Some(read(&self.host));
        calls.iter().all(|call| call.answer.is_some())
    }

    /// Shows the router a whole round of answers, and lets the request go on if it may.
    fn resume(&mut self) {
        let State::Waiting { pending, calls } = std::mem::take(&mut self.state) else { return };
        let Some(router) = self.router.clone() else { return };
        let answers = calls.into_iter().filter_map(|call| call.answer).collect();
        let step = router.resume(pending, answers, self.host.now());
        if self.carry_out(&router, step) == Action::Continue && self.host.resume_request().is_err()
        {
            self.host.log(Level::Error, "the host refused to resume a request");
        }
    }

    fn responded(&self) {
        if let (State::Routed(decision), Some(router)) = (&self.state, &self.router)
            && router.response_headers()
        {
            // For people's eyes only: a response without them is as good.
            let _ = self.host.set_response_header(CELL, decision.cluster.as_bytes());
            let _ = self.host.set_response_header(CELL_RULE, decision.rule.as_bytes());
        }
    }
}

/// A call that failed comes as an answer without headers.
fn read_answer(host: &impl Host, headers: usize, body: usize) -> CallResult {
    let status = (headers > 0).then(|| host.answer_header(":status")).flatten();
    let status = status.as_deref().and_then(|text| std::str::from_utf8(text).ok());
    Ok(HttpAnswer {
        status: status.and_then(|text| text.parse().ok()).ok_or(CallError::Transport)?,
        cache_control: host.answer_header("cache-control"),
        retry_after: host.answer_header("retry-after"),
        body: host.answer_body(body),
    })
}

impl<H: Host> Context for RequestFilter<H> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        if self.answered(token, |host| read_answer(host, headers, body)) {
            self.resume();
        }
    }

    fn on_done(&mut self) -> bool {
        self.state = State::Gone;
        true
    }
}

impl<H: Host> HttpContext for RequestFilter<H> {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.started()
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.responded();
        Action::Continue
    }
}

#[cfg(test)]
mod tests;
