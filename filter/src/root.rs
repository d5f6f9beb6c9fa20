//! The root context: Envoy's callbacks for the configuration and for ticks.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use router::Router;

use crate::host::{Envoy, Host, Level};
use crate::metrics::Metrics;
use crate::request::RequestFilter;
use crate::scheduler::Scheduler;
use crate::worker::Worker;

/// The root context of one configuration in one worker.
#[derive(Debug)]
pub(crate) struct Root {
    scheduler: Rc<Scheduler<Envoy>>,
}

impl Root {
    fn with(router: Option<Router>) -> Self {
        let worker = Rc::new(Worker::new(Envoy, router));
        Self { scheduler: Rc::new(Scheduler::new(worker)) }
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::with(None)
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        self.scheduler.on_response(token, headers, body);
    }

    fn on_done(&mut self) -> bool {
        let worker = &self.scheduler.worker;
        worker.metrics.retire(&worker.host);
        true
    }
}

impl RootContext for Root {
    /// Returns false to reject the configuration. Envoy then keeps the previous one, or does not
    /// start.
    fn on_configure(&mut self, _size: usize) -> bool {
        let router = compile(&Envoy);
        let accepted = router.is_some();
        Metrics::configuration(&Envoy, accepted);
        *self = Self::with(router);
        accepted
    }

    fn on_tick(&mut self) {
        self.scheduler.tick();
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestFilter::new(Rc::clone(&self.scheduler), context_id)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn compile(host: &impl Host) -> Option<Router> {
    match Router::from_json(&host.configuration()) {
        Ok(router) => {
            let rules = router.ruleset().ids().count();
            host.log(Level::Info, &format!("configuration accepted: {rules} rules"));
            Some(router.with_shared_store(Box::new(Envoy)))
        }
        Err(error) => {
            host.log(Level::Error, &format!("configuration rejected: {error}"));
            None
        }
    }
}
