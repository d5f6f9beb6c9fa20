//! Wakes the requests that wait for the Topology Service: when a response arrives, when a retry is
//! due, and when a call is given up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use router::{Millis, Router};

use crate::calls::{self, CallOwner};
use crate::host::Host;
use crate::transaction::Transaction;
use crate::worker::Worker;

/// The number of requests that may wait at once. Further requests are rejected, so that waiting ones
/// cannot fill the memory.
const MAX_WAITING: usize = 4096;

/// The shortest tick period.
const TICK_MS: u64 = 10;

/// The requests of one worker that wait.
#[derive(Debug)]
pub(crate) struct Scheduler<H> {
    pub(crate) worker: Rc<Worker<H>>,
    waiting: RefCell<BTreeMap<u32, WaitingRequest<H>>>,
    /// The time of the next tick, if ticks are enabled.
    next_tick: Cell<Option<Millis>>,
}

#[derive(Debug)]
struct WaitingRequest<H> {
    transaction: Weak<RefCell<Transaction<H>>>,
    due: Millis,
}

impl<H: Host> Scheduler<H> {
    pub(crate) fn new(worker: Rc<Worker<H>>) -> Self {
        Self { worker, waiting: RefCell::default(), next_tick: Cell::default() }
    }

    /// Returns whether another request may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.borrow().len() < MAX_WAITING
    }

    /// Adds or updates a request that waits; removes one that no longer does.
    pub(crate) fn schedule(&self, context: u32, transaction: &Rc<RefCell<Transaction<H>>>) {
        let due = transaction.borrow().due();
        let mut waiting = self.waiting.borrow_mut();
        if let Some(due) = due {
            let transaction = Rc::downgrade(transaction);
            waiting.insert(context, WaitingRequest { transaction, due });
            drop(waiting);
            self.tick_by(due);
        } else {
            waiting.remove(&context);
        }
    }

    /// Removes a request that has ended.
    pub(crate) fn forget(&self, context: u32) {
        self.waiting.borrow_mut().remove(&context);
    }

    /// Passes a response, or the failure of a call, to its owner.
    pub(crate) fn on_response(&self, token: u32, headers: usize, body: usize) {
        let worker = &self.worker;
        if let Some(owner) = worker.calls.take(token) {
            let result = calls::read_response(&worker.host, headers, body);
            let now = worker.host.now();
            match owner {
                CallOwner::Request(context) => {
                    self.wake(context, |transaction| transaction.on_response(token, result, now));
                }
                CallOwner::Refresh(refresh) => worker.end_refresh(refresh, &result, now),
            }
        }
        self.report();
    }

    /// Wakes the requests that are due, and makes the refreshes that the cache needs.
    pub(crate) fn tick(&self) {
        let now = self.worker.host.now();
        self.worker.refresh(now);
        let due = |(context, waiting): (&u32, &WaitingRequest<H>)| {
            (waiting.due <= now).then_some(*context)
        };
        let due: Vec<_> = self.waiting.borrow().iter().filter_map(due).collect();
        for context in due {
            self.wake(context, |transaction| transaction.on_due(now));
        }
        self.report();
        self.schedule_tick(now);
    }

    /// Reports counts, and schedules a tick for pending refreshes.
    pub(crate) fn report(&self) {
        self.worker.report();
        if self.has_refreshes() {
            self.tick_by(self.worker.host.now());
        }
    }

    fn has_refreshes(&self) -> bool {
        self.worker.router.as_ref().is_some_and(Router::has_refreshes)
    }

    /// Runs a closure on a request if it is still waiting.
    fn wake(&self, context: u32, run: impl FnOnce(&mut Transaction<H>)) {
        let waiting = self.waiting.borrow().get(&context).map(|found| found.transaction.clone());
        let Some(transaction) = waiting.and_then(|transaction| transaction.upgrade()) else {
            return self.forget(context);
        };
        if self.worker.host.enter(context).is_err() {
            return self.forget(context);
        }
        run(&mut transaction.borrow_mut());
        self.schedule(context, &transaction);
    }

    fn tick_by(&self, due: Millis) {
        if self.next_tick.get().is_none_or(|next| due < next) {
            self.set_tick(due, self.worker.host.now());
        }
    }

    fn set_tick(&self, due: Millis, now: Millis) {
        let wait = due.since(now).max(TICK_MS);
        self.next_tick.set(Some(now.plus(wait)));
        self.worker.host.set_tick_period(wait);
    }

    /// Schedules the next tick, or disables ticks if nothing waits.
    fn schedule_tick(&self, now: Millis) {
        let request = self.waiting.borrow().values().map(|waiting| waiting.due).min();
        let lost_refresh = self.worker.calls.next_lost_refresh();
        let new_refresh = self.has_refreshes().then_some(now);
        match [request, lost_refresh, new_refresh].into_iter().flatten().min() {
            Some(due) => self.set_tick(due, now),
            None => {
                self.next_tick.set(None);
                self.worker.host.set_tick_period(0);
            }
        }
    }
}
