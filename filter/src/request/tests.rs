use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use router::{Headers, Millis, Request, Router, Step};
use serde_json::{Value, json};

use super::*;
use crate::host::{HostError, HttpCall, Level, MetricKind};
use crate::worker::Worker;

mod shared;

/// A fake host that records what the filter does.
#[derive(Debug, Default)]
struct Fake {
    request: RefCell<Headers>,
    response: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The bodies of calls; the index is the token.
    calls: RefCell<Vec<String>>,
    /// Whether calls fail, as for a cluster that Envoy does not have.
    no_cluster: Cell<bool>,
    /// The headers and body of the response whose callback is running.
    call_response: RefCell<BTreeMap<String, Vec<u8>>>,
    replies: RefCell<Vec<(u16, String)>>,
    resumed: Cell<u32>,
    now: Cell<u64>,
    tick_ms: Cell<u64>,
    /// Contexts that no longer exist.
    gone: RefCell<Vec<u32>>,
    entered: Cell<u32>,
    logs: RefCell<Vec<String>>,
    memory: Cell<u64>,
    /// The names and values, by id.
    metrics: RefCell<Vec<(String, i64)>>,
}

impl Fake {
    fn metric(&self, name: &str) -> i64 {
        let metrics = self.metrics.borrow();
        let named = metrics.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value).sum()
    }
}

impl Host for Rc<Fake> {
    fn enter(&self, context: u32) -> Result<(), HostError> {
        self.entered.set(context);
        if self.gone.borrow().contains(&context) { Err(HostError) } else { Ok(()) }
    }

    fn set_tick_period(&self, milliseconds: u64) {
        self.tick_ms.set(milliseconds);
    }

    fn now(&self) -> Millis {
        Millis(self.now.get())
    }

    fn log(&self, _: Level, message: &str) {
        self.logs.borrow_mut().push(message.to_owned());
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        let headers = self.request.borrow();
        headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn configuration(&self) -> Vec<u8> {
        Vec::new()
    }

    fn request_headers(&self) -> Headers {
        self.request.borrow().clone()
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.remove_request_header(name)?;
        self.request.borrow_mut().push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.request.borrow_mut().retain(|(key, _)| key != name);
        Ok(())
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.response.borrow_mut().insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn clear_route_cache(&self) -> Result<(), HostError> {
        Err(HostError)
    }

    fn call(&self, call: &HttpCall<'_>) -> Result<u32, HostError> {
        if self.no_cluster.get() {
            return Err(HostError);
        }
        let mut calls = self.calls.borrow_mut();
        calls.push(String::from_utf8(call.body.to_vec()).unwrap());
        Ok(u32::try_from(calls.len() - 1).unwrap())
    }

    fn call_response_header(&self, name: &str) -> Option<Vec<u8>> {
        self.call_response.borrow().get(name).cloned()
    }

    fn call_response_body(&self, _: usize) -> Vec<u8> {
        self.call_response.borrow().get("body").cloned().unwrap_or_default()
    }

    fn reply(&self, status: u16, _: &[(&str, &str)], body: &[u8]) -> Result<(), HostError> {
        self.replies.borrow_mut().push((status, String::from_utf8(body.to_vec()).unwrap()));
        Ok(())
    }

    fn resume_request(&self) -> Result<(), HostError> {
        self.resumed.set(self.resumed.get() + 1);
        Ok(())
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<u32, HostError> {
        let mut metrics = self.metrics.borrow_mut();
        metrics.push((name.to_owned(), 0));
        Ok(u32::try_from(metrics.len() - 1).unwrap())
    }

    fn increment_metric(&self, id: u32, by: i64) {
        self.metrics.borrow_mut()[usize::try_from(id).unwrap()].1 += by;
    }

    fn record_metric(&self, id: u32, sample: u64) {
        self.increment_metric(id, i64::try_from(sample).unwrap());
    }

    fn memory_bytes(&self) -> u64 {
        self.memory.get()
    }
}

/// A filter and its host. Its rules classify the namespaces of a request's scopes.
struct Edge {
    host: Rc<Fake>,
    scheduler: Rc<Scheduler<Rc<Fake>>>,
    filter: RequestFilter<Rc<Fake>>,
}

/// The context of an [`Edge`]'s request.
const CONTEXT: u32 = 2;

impl Edge {
    fn new(headers: &[(&str, &[u8])]) -> Self {
        Self::configured(headers, &json!({"cluster": "t", "authority": "t", "retries": 0}))
    }

    fn configured(headers: &[(&str, &[u8])], topology: &Value) -> Self {
        let config = json!({
            "topologyService": topology,
            "responseHeaders": true,
            "ruleset": {"rules": [
                {
                    "id": "fixed",
                    "match": {"type": "path", "regexValue": "/c/(?<id>[0-9]+)/jwt/auth"},
                    "action": "proxy",
                    "proxy": {"address": "cell-9"},
                    "rewritePath": "/jwt/auth",
                },
                {
                    "id": "scopes",
                    "match": {"type": "path", "regexValue": "/jwt/auth"},
                    "transform": {"type": "registry-scopes", "output": "scopes"},
                    "validate": {"exist": ["${scopes.namespace}"]},
                    "action": "classify",
                    "classify": {"claims": [{"route": "${scopes.namespace}"}]},
                    "hashKey": "${scopes.namespace}",
                },
                {"id": "last", "action": "classify", "classify": {"type": "FIRST_CELL"}},
            ]},
        });
        let router = Router::from_json(config.to_string().as_bytes()).unwrap();
        Self::with(headers, Some(router))
    }

    fn with(headers: &[(&str, &[u8])], router: Option<Router>) -> Self {
        let host = Rc::new(Fake::default());
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        host.request.replace(headers.collect());
        let worker = Rc::new(Worker::new(Rc::clone(&host), router));
        let scheduler = Rc::new(Scheduler::new(worker));
        let filter = RequestFilter::new(Rc::clone(&scheduler), CONTEXT);
        Self { host, scheduler, filter }
    }

    fn get(path: &str) -> Self {
        Self::new(&[(":authority", b"gitlab.example"), (":path", path.as_bytes())])
    }

    fn request(&mut self) -> Action {
        self.filter.on_http_request_headers(0, true)
    }

    fn respond(&mut self, token: u32, status: &str, body: &str) {
        let response = [(":status", status), ("body", body)];
        let response = response.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        self.host.call_response.replace(response.into());
        self.filter.on_http_call_response(token, 1, body.len(), 0);
    }

    fn found(&mut self, token: u32, cell: &str) {
        let body = json!({"action": "PROXY", "proxy": {"address": cell}});
        self.respond(token, "200", &body.to_string());
    }

    /// The values of a request header as the Cell would see them.
    fn sent(&self, name: &str) -> Vec<String> {
        let headers = self.host.request.borrow();
        let values = headers.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn statuses(&self) -> Vec<u16> {
        self.host.replies.borrow().iter().map(|(status, _)| *status).collect()
    }
}

const TWO: &str = "/jwt/auth?scope=repository:a/x:pull&scope=repository:b/x:pull";

#[test]
fn inbound_copies_of_the_edges_headers_are_removed_in_any_spelling() {
    let mut edge = Edge::new(&[
        (":authority", b"gitlab.example"),
        (":path", b"/c/9/jwt/auth"),
        ("x-cell-cluster", b"evil"),
        ("x-cell-cluster", b"evil"),
        ("x_cell_cluster", b"evil"),
        ("x-cell_hash-key", b"evil"),
        ("x-cell", b"evil"),
        ("x_cell_rule", b"evil"),
        ("x-gitlab-http-router-rule-type", b"evil"),
        ("x-forwarded-host", b"evil"),
        ("x-cell-other", b"kept"),
    ]);
    assert_eq!(edge.request(), Action::Continue);
    assert!(edge.host.request.borrow().iter().all(|(_, value)| value != b"evil"));
    assert_eq!(edge.sent("x-cell-cluster"), ["cell-9"]);
    assert_eq!(edge.sent("x-forwarded-host"), ["gitlab.example"]);
    assert_eq!(edge.sent("x-cell-other"), ["kept"]);
}

#[test]
fn a_decision_sets_request_headers_path_and_response_headers() {
    let mut edge = Edge::get("/c/9/jwt/auth?service=x");
    assert_eq!(edge.request(), Action::Continue);
    assert_eq!(edge.sent(":path"), ["/jwt/auth?service=x"]);
    assert_eq!(edge.sent("x-gitlab-http-router-rule-action"), ["proxy"]);
    edge.filter.on_http_response_headers(0, true);
    let response = edge.host.response.borrow();
    assert_eq!(response["x-cell"], b"cell-9");
    assert_eq!(response["x-cell-rule"], b"fixed");
}

#[test]
fn a_request_waits_for_all_calls_and_resumes_once() {
    let mut edge = Edge::get(TWO);
    assert_eq!(edge.request(), Action::Pause);
    assert_eq!(edge.host.calls.borrow().len(), 2);
    edge.found(1, "cell-2");
    assert_eq!(edge.host.resumed.get(), 0);
    edge.found(0, "cell-2");
    assert_eq!(edge.host.resumed.get(), 1);
    assert_eq!(edge.sent("x-cell-cluster"), ["cell-2"]);
}

#[test]
fn responses_are_matched_to_their_calls_in_any_order() {
    let mut edge = Edge::get(TWO);
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(1, "404", "{}");
    edge.found(0, "cell-1");
    assert_eq!(edge.sent("x-cell-cluster"), ["cell-1"]);
    let router = edge.scheduler.worker.router.as_ref().unwrap();
    let path = b"/jwt/auth?scope=repository:a:pull".to_vec();
    let step = router.start(&Request::new(&[(":path".to_owned(), path)]), Millis(0));
    assert!(matches!(step, Step::Continue(decision) if decision.cluster == "cell-1"));
}

#[test]
fn late_repeated_and_unknown_responses_have_no_effect() {
    let mut edge = Edge::get(TWO);
    assert_eq!(edge.request(), Action::Pause);
    edge.found(7, "cell-7");
    edge.found(0, "cell-2");
    edge.found(0, "cell-3");
    edge.found(1, "cell-2");
    edge.found(1, "cell-3");
    assert_eq!(edge.host.resumed.get(), 1);
    assert_eq!(edge.sent("x-cell-cluster"), ["cell-2"]);
    assert!(edge.statuses().is_empty());
}

#[test]
fn a_response_after_the_client_disconnected_has_no_effect() {
    let mut edge = Edge::get(TWO);
    assert_eq!(edge.request(), Action::Pause);
    assert!(edge.filter.on_done());
    edge.found(0, "cell-2");
    edge.found(1, "cell-2");
    assert_eq!(edge.host.resumed.get(), 0);
    assert!(edge.statuses().is_empty());
}

#[test]
fn a_reply_ends_the_request_without_resuming_it() {
    let mut edge = Edge::get(TWO);
    assert_eq!(edge.request(), Action::Pause);
    edge.found(0, "cell-1");
    edge.found(1, "cell-2");
    assert_eq!(edge.statuses(), [400]);
    assert_eq!(edge.host.resumed.get(), 0);
    assert!(edge.sent("x-cell-cluster").is_empty());
}

#[test]
fn not_found_leads_to_further_calls() {
    let mut edge = Edge::get("/jwt/auth?scope=repository:a/x:pull");
    assert_eq!(edge.request(), Action::Pause);
    edge.respond(0, "404", "{}");
    assert_eq!(edge.host.calls.borrow().last().unwrap(), r#"{"type":"FIRST_CELL"}"#);
    assert_eq!(edge.host.resumed.get(), 0);
    edge.found(1, "cell-1");
    assert_eq!(edge.host.resumed.get(), 1);
}

#[test]
fn a_call_that_fails_is_503() {
    let mut edge = Edge::get("/");
    edge.host.no_cluster.set(true);
    assert_eq!(edge.request(), Action::Pause);
    assert_eq!(edge.statuses(), [503]);

    let mut edge = Edge::get("/");
    assert_eq!(edge.request(), Action::Pause);
    edge.filter.on_http_call_response(0, 0, 0, 0);
    assert_eq!(edge.statuses(), [503]);
    assert!(edge.sent("x-cell-cluster").is_empty());
}

#[test]
fn without_a_configuration_all_requests_are_rejected() {
    let mut edge = Edge::with(&[(":path", b"/c/9/jwt/auth")], None);
    assert_eq!(edge.request(), Action::Pause);
    assert_eq!(edge.statuses(), [503]);
}

#[test]
fn bytes_that_are_not_utf8_pass_through() {
    let mut edge =
        Edge::new(&[(":path", b"/c/9/jwt/auth"), ("user-agent", b"\xff\xfe"), ("cookie", b"\xff")]);
    assert_eq!(edge.request(), Action::Continue);
}
