//! What all requests of a worker share: the router, its metrics, and the requests that wait. Calls
//! are answered to whichever context sent them, so both this and that look the owner up here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use router::{CLASSIFY_PATH, Call, CallError, CallResult, HttpAnswer, Millis, Router};

use crate::exchange::Exchange;
use crate::host::{Host, HttpCall, Refused};
use crate::log;
use crate::metrics::Metrics;

/// Requests that may wait at once; one more is refused rather than the memory filled.
const MAX_WAITING: usize = 4096;

/// The shortest time between two looks at who waits.
const TICK_MS: u64 = 10;

/// Milliseconds an answer may be later than its timeout before the host is not trusted to end it.
const GRACE_MS: u64 = 250;

/// One worker's part of one configuration.
#[derive(Debug)]
pub(crate) struct Worker<H> {
    pub(crate) host: H,
    /// None: no configuration was taken, and requests are refused.
    pub(crate) router: Option<Router>,
    pub(crate) metrics: Metrics,
    waiting: RefCell<BTreeMap<u32, Waiting<H>>>,
    /// The contexts of requests that wait for the answer under a token.
    owners: RefCell<BTreeMap<u32, u32>>,
    refreshes: RefCell<BTreeMap<u32, Sent<Call>>>,
    /// When the tick comes next.
    alarm: Cell<Option<Millis>>,
}

#[derive(Debug)]
struct Waiting<H> {
    exchange: Weak<RefCell<Exchange<H>>>,
    due: Millis,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    pub(crate) token: T,
    pub(crate) since: Millis,
    /// When nobody believes in an answer any more.
    pub(crate) give_up: Millis,
}

impl<H: Host> Worker<H> {
    pub(crate) fn new(host: H, router: Option<Router>) -> Self {
        let rules = router.iter().flat_map(|router| router.ruleset().actions());
        let metrics = Metrics::new(rules.map(|(rule, action)| (rule, action.as_str())));
        Self {
            host,
            router,
            metrics,
            waiting: RefCell::default(),
            owners: RefCell::default(),
            refreshes: RefCell::default(),
            alarm: Cell::default(),
        }
    }

    /// Whether a request may wait; one that waited already keeps its place.
    pub(crate) fn has_room_for(&self, context: u32) -> bool {
        let waiting = self.waiting.borrow();
        waiting.len() < MAX_WAITING || waiting.contains_key(&context)
    }

    /// Sends a request's call.
    pub(crate) fn send_for(&self, context: u32, call: &Call, now: Millis) -> Option<Sent<u32>> {
        let token = self.send(call).ok()?;
        self.owners.borrow_mut().insert(token, context);
        Some(Sent { token, since: now, give_up: give_up(call, now) })
    }

    fn send(&self, call: &Call) -> Result<u32, Refused> {
        let topology = self.router.as_ref().ok_or(Refused)?.topology();
        self.host.call(&HttpCall {
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
        })
    }

    /// An answer, or the end of a call without one.
    pub(crate) fn answered(&self, token: u32, headers: usize, body: usize) {
        let owner = self.owners.borrow_mut().remove(&token);
        let refresh = self.refreshes.borrow_mut().remove(&token);
        if let Some(context) = owner {
            let result = read_answer(&self.host, headers, body);
            let now = self.host.now();
            self.touch(context, |exchange| exchange.answered(token, result, now));
        } else if let Some(sent) = refresh {
            let result = read_answer(&self.host, headers, body);
            self.end_refresh(sent, &result, self.host.now());
        }
        self.report();
    }

    /// Nobody waits for this token any more.
    pub(crate) fn disown(&self, token: u32) {
        self.owners.borrow_mut().remove(&token);
    }

    /// Takes down that a request waits.
    pub(crate) fn await_turn(&self, context: u32, exchange: &Rc<RefCell<Exchange<H>>>) {
        let due = exchange.borrow().due();
        let mut waiting = self.waiting.borrow_mut();
        if let Some(due) = due {
            waiting.insert(context, Waiting { exchange: Rc::downgrade(exchange), due });
            drop(waiting);
            self.wake_by(due);
        } else {
            waiting.remove(&context);
        }
    }

    /// Forgets a request that is gone.
    pub(crate) fn forget(&self, context: u32) {
        self.waiting.borrow_mut().remove(&context);
    }

    /// The root context's tick: sends what waited for its time, gives up what waited too long.
    pub(crate) fn tick(&self) {
        let now = self.host.now();
        self.refresh(now);
        let is_due =
            |(context, waiting): (&u32, &Waiting<H>)| (waiting.due <= now).then_some(*context);
        let due: Vec<_> = self.waiting.borrow().iter().filter_map(is_due).collect();
        for context in due {
            self.touch(context, |exchange| exchange.wake(now));
        }
        self.report();
        self.set_alarm(now);
    }

    /// Counts and logs what the router did since the last time.
    pub(crate) fn report(&self) {
        let Some(router) = &self.router else { return };
        let (host, tally) = (&self.host, router.take_tally());
        tally.lookups().for_each(|(lookup, count)| self.metrics.lookup(host, lookup, count));
        self.metrics.memory(host, host.memory_bytes());
        if router.wants_refreshes() {
            self.wake_by(host.now());
        }
        if tally.calls().next().is_none() {
            return;
        }
        tally.calls().for_each(|(outcome, count)| self.metrics.call(host, outcome, count));
        self.metrics.retries(host, tally.retries);
        self.metrics.entries(host, router.cache_entries());
        if let Some(news) = tally.availability {
            log::availability(host, news);
        }
    }

    /// Lets something happen to a waiting request; to one that is gone, nothing.
    fn touch(&self, context: u32, happen: impl FnOnce(&mut Exchange<H>)) {
        let waiting = self.waiting.borrow().get(&context).map(|found| found.exchange.clone());
        let Some(exchange) = waiting.and_then(|exchange| exchange.upgrade()) else {
            return self.forget(context);
        };
        if self.host.enter(context).is_err() {
            return self.forget(context);
        }
        happen(&mut exchange.borrow_mut());
        self.await_turn(context, &exchange);
    }

    fn refresh(&self, now: Millis) {
        let Some(router) = &self.router else { return };
        let lost = |_: &u32, sent: &mut Sent<Call>| sent.give_up <= now;
        let lost: Vec<_> = self.refreshes.borrow_mut().extract_if(.., lost).collect();
        for (_, sent) in lost {
            self.end_refresh(sent, &Err(CallError::Timeout), now);
        }
        for call in router.take_refreshes() {
            self.metrics.refresh(&self.host);
            let token = self.send(&call);
            let sent = Sent { give_up: give_up(&call, now), since: now, token: call };
            match token {
                Ok(token) => drop(self.refreshes.borrow_mut().insert(token, sent)),
                Err(Refused) => self.end_refresh(sent, &Err(CallError::Dispatch), now),
            }
        }
    }

    fn end_refresh(&self, sent: Sent<Call>, result: &CallResult, now: Millis) {
        self.metrics.answered_after(&self.host, now.since(sent.since));
        if let Some(router) = &self.router {
            router.refreshed(sent.token, result, now);
        }
    }

    fn wake_by(&self, due: Millis) {
        if self.alarm.get().is_none_or(|alarm| due < alarm) {
            let now = self.host.now();
            self.set_tick(due, now);
        }
    }

    fn set_tick(&self, due: Millis, now: Millis) {
        let wait = due.since(now).max(TICK_MS);
        self.alarm.set(Some(now.plus(wait)));
        self.host.set_tick(wait);
    }

    /// Ticks go on only while something waits.
    fn set_alarm(&self, now: Millis) {
        let requests = self.waiting.borrow().values().map(|waiting| waiting.due).min();
        let refreshes = self.refreshes.borrow().values().map(|sent| sent.give_up).min();
        let wanted = self.router.as_ref().is_some_and(Router::wants_refreshes).then_some(now);
        match [requests, refreshes, wanted].into_iter().flatten().min() {
            Some(due) => self.set_tick(due, now),
            None => {
                self.alarm.set(None);
                self.host.set_tick(0);
            }
        }
    }
}

fn give_up(call: &Call, now: Millis) -> Millis {
    now.plus(call.timeout_ms).plus(GRACE_MS)
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
