//! The root context: compiles the configuration, which all requests share, and lends them the time.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use router::Router;

use crate::host::{Envoy, Host, Level};
use crate::metrics::Metrics;
use crate::request::RequestFilter;
use crate::worker::Worker;

/// The root context of one configuration in one worker.
#[derive(Debug)]
pub(crate) struct Root {
    worker: Rc<Worker<Envoy>>,
}

impl Default for Root {
    fn default() -> Self {
        Self { worker: Rc::new(Worker::new(Envoy, None)) }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        self.worker.answered(token, headers, body);
    }

    fn on_done(&mut self) -> bool {
        self.worker.metrics.retire(&self.worker.host);
        true
    }
}

impl RootContext for Root {
    /// False rejects the configuration: Envoy keeps what served before, or does not start.
    fn on_configure(&mut self, _size: usize) -> bool {
        let router = compile(&Envoy);
        let accepted = router.is_some();
        Metrics::configuration(&Envoy, accepted);
        self.worker = Rc::new(Worker::new(Envoy, router));
        accepted
    }

    fn on_tick(&mut self) {
        self.worker.tick();
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestFilter::new(Rc::clone(&self.worker), context_id)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn compile(host: &impl Host) -> Option<Router> {
    match Router::from_json(&host.configuration()) {
        Ok(router) => {
            let rules = router.ruleset().ids().count();
            host.log(Level::Info, &format!("configured with {rules} rules"));
            Some(router.sharing(Box::new(Envoy)))
        }
        Err(error) => {
            host.log(Level::Error, &format!("configuration refused: {error}"));
            None
        }
    }
}
