//! The HTTP context: Envoy's callbacks for one request.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::exchange::Exchange;
use crate::host::Host;
use crate::worker::Worker;

/// The HTTP context of one request.
#[derive(Debug)]
pub(crate) struct RequestFilter<H> {
    worker: Rc<Worker<H>>,
    context: u32,
    exchange: Rc<RefCell<Exchange<H>>>,
}

impl<H: Host> RequestFilter<H> {
    pub(crate) fn new(worker: Rc<Worker<H>>, context: u32) -> Self {
        let exchange = Rc::new(RefCell::new(Exchange::new(Rc::clone(&worker), context)));
        Self { worker, context, exchange }
    }
}

impl<H: Host> Context for RequestFilter<H> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        self.worker.answered(token, headers, body);
    }

    fn on_done(&mut self) -> bool {
        self.exchange.borrow_mut().end();
        true
    }
}

impl<H: Host> HttpContext for RequestFilter<H> {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let action = self.exchange.borrow_mut().start();
        if self.exchange.borrow().due().is_some() {
            self.worker.await_turn(self.context, &self.exchange);
        }
        self.worker.report();
        action
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.exchange.borrow().responded();
        Action::Continue
    }
}

#[cfg(test)]
mod tests;
