//! The filter's configuration, compiled once per worker and shared by its requests.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use router::Router;

use crate::host::{Envoy, Host, Level};
use crate::request::RequestFilter;

/// The root context. Without a router it was never configured, and requests are refused.
#[derive(Debug, Default)]
pub(crate) struct Root {
    router: Option<Rc<Router>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// False rejects the configuration: Envoy keeps what served before, or does not start.
    fn on_configure(&mut self, _size: usize) -> bool {
        self.router = compile(&Envoy);
        self.router.is_some()
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestFilter::new(Envoy, self.router.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn compile(host: &impl Host) -> Option<Rc<Router>> {
    match Router::from_json(&host.configuration()) {
        Ok(router) => {
            let rules = router.ruleset().ids().count();
            host.log(Level::Info, &format!("configured with {rules} rules"));
            Some(Rc::new(router))
        }
        Err(error) => {
            host.log(Level::Error, &format!("configuration refused: {error}"));
            None
        }
    }
}
