//! The cases of a ruleset, `NAME.cases.json` next to `NAME.json`. Each has a request, the directory of
//! a Topology Service, and the expected result. They document the ruleset, and run against the router
//! here and against the compiled filter in the wasm harness.

mod directory;
mod secret;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::classify::CallResult;
use crate::config::{self, ConfigError, OneOrMany};
use crate::decision::Decision;
use crate::reply::LocalReply;
use crate::request::{Headers, Request};
use crate::router::{Router, Step};
use crate::time::Millis;
pub use directory::Directory;
pub use secret::{Credential, Secret};

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Cases"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
    /// The schema, for editors.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// What the cases have in common; for the reader.
    #[serde(default)]
    pub description: String,
    /// The directory of the Topology Service, unless a case has its own.
    pub topology: Directory,
    /// The cases.
    pub cases: Vec<Case>,
}

impl CaseFile {
    /// Parses a case file.
    ///
    /// # Errors
    /// [`ConfigError::Json`] names the path of the invalid field.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        config::from_json(json)
    }

    /// Returns the directory that serves the calls of a case.
    #[must_use]
    pub fn directory<'c>(&'c self, case: &'c Case) -> &'c Directory {
        case.topology.as_ref().unwrap_or(&self.topology)
    }
}

/// One request and its expected result.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// A sentence that states what the case shows.
    pub name: String,
    /// The request of the client.
    pub request: CaseRequest,
    /// The directory of this case, instead of the file's.
    #[serde(default)]
    pub topology: Option<Directory>,
    /// The expected result.
    pub expect: Expect,
}

/// A request.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseRequest {
    /// The method, by default `GET`.
    #[serde(default = "get")]
    pub method: String,
    /// The authority.
    #[serde(default = "gitlab_example")]
    pub host: String,
    /// The path and the query.
    pub path: String,
    /// The credentials of `Authorization: Basic`.
    #[serde(default)]
    pub basic: Option<Credential>,
    /// The token of `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// Other headers; a list repeats the header.
    #[serde(default)]
    pub headers: BTreeMap<String, OneOrMany<Secret>>,
}

fn get() -> String {
    "GET".to_owned()
}

fn gitlab_example() -> String {
    "gitlab.example".to_owned()
}

impl CaseRequest {
    /// Returns the headers as a proxy-wasm host provides them, pseudo-headers first.
    #[must_use]
    pub fn headers(&self) -> Headers {
        let pseudo = [(":method", &self.method), (":authority", &self.host), (":path", &self.path)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.clone()));
        let basic = self.basic.iter().map(|basic| format!("Basic {basic}"));
        let bearer = self.bearer.iter().map(|token| format!("Bearer {token}"));
        let credentials = basic.chain(bearer).map(|value| ("authorization".to_owned(), value));
        let others = self.headers.iter().flat_map(|(name, values)| {
            values.0.iter().map(|value| (name.to_ascii_lowercase(), value.to_string()))
        });
        let all = pseudo.into_iter().chain(credentials).chain(others);
        all.map(|(name, value)| (name, value.into_bytes())).collect()
    }
}

/// The result of a request. An omitted field must be absent, except `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The id of the deciding rule.
    #[serde(default)]
    pub rule: Option<String>,
    /// The cluster to which the request is routed.
    #[serde(default)]
    pub cell: Option<String>,
    /// `x-gitlab-http-router-rule-type`; any value if omitted.
    #[serde(default)]
    pub r#type: Option<String>,
    /// `x-cell-hash-key`.
    #[serde(default)]
    pub hash_key: Option<String>,
    /// The path that replaces the client's, without the query.
    #[serde(default)]
    pub rewrite_path: Option<String>,
    /// The bodies of the calls to the Topology Service, in order.
    #[serde(default)]
    pub calls: Vec<Value>,
    /// The response of the edge.
    #[serde(default)]
    pub reply: Option<ExpectReply>,
}

/// A response of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectReply {
    /// The HTTP status.
    pub status: u16,
    /// The code in the error envelope.
    pub code: String,
}

impl ExpectReply {
    /// Reads the reply from the response that a client receives.
    #[must_use]
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = body.pointer("/errors/0/code").and_then(Value::as_str).unwrap_or_default();
        Self { status, code: code.to_owned() }
    }
}

impl Expect {
    /// Returns the result that a decision has for an observer.
    #[must_use]
    pub fn of(decision: Decision) -> Self {
        Self {
            rule: Some(decision.rule),
            cell: Some(decision.cluster),
            r#type: decision.kind,
            hash_key: decision.hash_key.as_deref().map(str::to_owned),
            rewrite_path: decision.rewrite_path,
            ..Self::default()
        }
    }

    /// Compares the expected with the actual result.
    ///
    /// # Errors
    /// The fields that differ, in words.
    pub fn check(&self, actual: &Self) -> Result<(), String> {
        let expected =
            Self { r#type: self.r#type.clone().or_else(|| actual.r#type.clone()), ..self.clone() };
        if expected == *actual {
            return Ok(());
        }
        let fields = |expect: &Self| serde_json::to_value(expect).unwrap_or_default();
        Err(difference(&fields(&expected), &fields(actual)))
    }
}

/// Describes the fields of two objects that differ, in two lines each.
fn difference(expected: &Value, actual: &Value) -> String {
    let fields = expected.as_object().into_iter().flatten();
    let differing = fields.filter_map(|(field, expected)| {
        let actual = actual.get(field).unwrap_or(&Value::Null);
        (actual != expected)
            .then(|| format!("{field}: expected {expected}\n{field}:   actual {actual}"))
    });
    differing.collect::<Vec<_>>().join("\n")
}

/// The last step of a request.
#[derive(Debug)]
pub enum FinalStep {
    /// The request is routed to a Cell.
    Decision(Decision),
    /// The edge responds itself.
    Reply(LocalReply),
}

/// Takes a request through a router. `respond` is the Topology Service: it returns the result of a
/// call with the given body.
pub fn drive(
    router: &Router,
    headers: &Headers,
    now: Millis,
    mut respond: impl FnMut(&[u8]) -> CallResult,
) -> FinalStep {
    let mut step = router.start(&Request::new(headers), now);
    loop {
        step = match step {
            Step::Continue(decision) => return FinalStep::Decision(decision),
            Step::Reply(reply) => return FinalStep::Reply(reply),
            Step::Call(calls, pending) => {
                let results = calls.iter().map(|call| respond(call.body.as_bytes())).collect();
                router.resume(pending, results, now)
            }
        };
    }
}

/// Runs a case against a router with `directory` as the Topology Service.
#[must_use]
pub fn run(router: &Router, request: &CaseRequest, directory: &Directory, now: Millis) -> Expect {
    let mut calls = Vec::new();
    let end = drive(router, &request.headers(), now, |body| {
        calls.push(parse(body));
        directory.respond(body)
    });
    let result = match end {
        FinalStep::Decision(decision) => Expect::of(decision),
        FinalStep::Reply(reply) => Expect {
            reply: Some(ExpectReply::of(reply.status, reply.body.as_bytes())),
            ..Expect::default()
        },
    };
    Expect { calls, ..result }
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// Returns a minimal filter configuration with a ruleset. A `proxy` rule without an address routes to
/// `proxy-address`.
#[must_use]
pub fn filter_config(ruleset: &Value) -> Value {
    json!({
        "topologyService": {"cluster": "topology", "authority": "topology", "retries": 0},
        "proxyAddress": "proxy-address",
        "responseHeaders": true,
        "ruleset": ruleset,
    })
}
