//! The router: the public interface to one ruleset and its classification state.

mod matched;
mod recall;
mod retry_budget;
mod step;
mod walk;
mod weigh;

use std::cell::RefCell;

use crate::cache::SharedStore;
use crate::classify::CallResult;
use crate::config::{self, ConfigError, FilterConfig, TopologyService};
use crate::reject;
use crate::request::Request;
use crate::rules::Ruleset;
use crate::stats::Stats;
use crate::time::Millis;
use recall::ClassificationState;
pub use step::{Call, Pending, Step};
use walk::{Moment, Walker};

/// Routes requests by one ruleset. Each worker has a router of its own, with its own cache.
#[derive(Debug)]
pub struct Router {
    walker: Walker,
    response_headers: bool,
}

impl Router {
    /// Parses and compiles the filter's configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the invalid rule and field.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        Self::new(config::from_json(json)?)
    }

    /// Compiles a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the invalid rule and field.
    pub fn new(config: FilterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let state = ClassificationState::new(config.cache, &config.topology_service);
        let walker = Walker {
            ruleset: Ruleset::compile(config.ruleset, config.proxy_address.as_deref())?,
            topology: config.topology_service,
            max_namespaces: config.max_namespaces,
            paths: RefCell::default(),
            state: RefCell::new(state),
        };
        Ok(Self { walker, response_headers: config.response_headers })
    }

    /// Also stores classifications in `store`, and uses those that it contains.
    #[must_use]
    pub fn with_shared_store(self, store: Box<dyn SharedStore>) -> Self {
        self.walker.state.borrow_mut().use_store(store);
        self
    }

    /// Returns the settings of the Topology Service.
    #[must_use]
    pub fn topology(&self) -> &TopologyService {
        &self.walker.topology
    }

    /// Returns whether responses carry `x-cell` and `x-cell-rule`.
    #[must_use]
    pub fn response_headers(&self) -> bool {
        self.response_headers
    }

    /// Returns the compiled rules.
    #[must_use]
    pub fn ruleset(&self) -> &Ruleset {
        &self.walker.ruleset
    }

    /// Keeps only the first `rules` rules, to explain how far they take a request.
    #[cfg(feature = "cases")]
    pub(crate) fn limited_to(mut self, rules: usize) -> Self {
        self.walker.ruleset.rules.truncate(rules);
        self
    }

    /// Returns the number of cached classifications, found and not found.
    #[must_use]
    pub fn cache_entries(&self) -> usize {
        self.walker.state.borrow().entries()
    }

    /// Returns the counts since the previous call of this method.
    #[must_use]
    pub fn take_stats(&self) -> Stats {
        self.walker.state.borrow_mut().take_stats()
    }

    /// Returns whether [`Self::take_refreshes`] would return any.
    #[must_use]
    pub fn has_refreshes(&self) -> bool {
        self.walker.state.borrow().has_refreshes()
    }

    /// Returns calls that revalidate expired classifications, to be made independently of requests.
    /// Each result must be passed to [`Self::refreshed`].
    #[must_use]
    pub fn take_refreshes(&self) -> Vec<Call> {
        let queries = self.walker.state.borrow_mut().take_refreshes();
        let timeout_ms = self.walker.topology.timeout_ms;
        queries.into_iter().map(|body| Call { body, delay_ms: 0, timeout_ms }).collect()
    }

    /// Stores the result of a call of [`Self::take_refreshes`]. A failure keeps the last good
    /// classification.
    pub fn refreshed(&self, call: Call, result: &CallResult, now: Millis) {
        self.walker.state.borrow_mut().record(call.body, result, now);
    }

    /// Starts a request, and decides it if no call is required.
    #[must_use]
    pub fn start(&self, request: &Request<'_>, now: Millis) -> Step {
        match reject::check(request) {
            Some(rejection) => walk::reject(rejection, None),
            None => self.walker.start(request, Moment { now, deadline: None }),
        }
    }

    /// Resumes a request with the results of the calls of [`Step::Call`], in their order. A missing
    /// result counts as a timeout. Transient failures may lead to retries.
    #[must_use]
    pub fn resume(&self, pending: Pending, results: Vec<CallResult>, now: Millis) -> Step {
        self.walker.resume(pending, results, now)
    }
}

#[cfg(test)]
mod tests;
