//! The HTTP context: Envoy's callbacks for one request.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::Host;
use crate::scheduler::Scheduler;
use crate::transaction::Transaction;

/// The HTTP context of one request.
#[derive(Debug)]
pub(crate) struct RequestFilter<H> {
    scheduler: Rc<Scheduler<H>>,
    context: u32,
    transaction: Rc<RefCell<Transaction<H>>>,
}

impl<H: Host> RequestFilter<H> {
    pub(crate) fn new(scheduler: Rc<Scheduler<H>>, context: u32) -> Self {
        let transaction = Transaction::new(Rc::clone(&scheduler.worker), context);
        Self { scheduler, context, transaction: Rc::new(RefCell::new(transaction)) }
    }
}

impl<H: Host> Context for RequestFilter<H> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        self.scheduler.on_response(token, headers, body);
    }

    fn on_done(&mut self) -> bool {
        self.transaction.borrow_mut().end();
        self.scheduler.forget(self.context);
        true
    }
}

impl<H: Host> HttpContext for RequestFilter<H> {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let may_wait = self.scheduler.has_room();
        let action = self.transaction.borrow_mut().on_request_headers(may_wait);
        if self.transaction.borrow().due().is_some() {
            self.scheduler.schedule(self.context, &self.transaction);
        }
        self.scheduler.report();
        action
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.transaction.borrow().on_response_headers();
        Action::Continue
    }
}

#[cfg(test)]
mod tests;
