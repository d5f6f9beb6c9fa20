//! Cases of a ruleset, `NAME.cases.json` beside `NAME.json`: a request, the directory a Topology
//! Service would answer from, and what must come of it. They document the ruleset, and run against
//! the router here and against the compiled filter in the wasm harness.

mod directory;
mod secret;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{self, OneOrMany};
use crate::{
    CallResult, ConfigError, Decision, Headers, LocalReply, Millis, Request, Router, Step,
};
pub use directory::Directory;
pub use secret::{Credential, Secret};

/// A case file.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Cases"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
    /// Where editors find the schema; read by nobody else.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// What the cases show, for their reader.
    #[serde(default)]
    pub description: String,
    /// What the Topology Service knows, unless a case says otherwise.
    pub topology: Directory,
    /// The cases.
    pub cases: Vec<Case>,
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// [`ConfigError::Json`] with the path of the field at fault.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        config::from_json(json)
    }

    /// What answers a case's calls.
    #[must_use]
    pub fn directory<'c>(&'c self, case: &'c Case) -> &'c Directory {
        case.topology.as_ref().unwrap_or(&self.topology)
    }
}

/// One request and its outcome.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// What a client sends.
    pub request: CaseRequest,
    /// Replaces the file's directory.
    #[serde(default)]
    pub topology: Option<Directory>,
    /// What must come of it.
    pub expect: Expect,
}

/// A request as a client would describe it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseRequest {
    /// `GET` unless given.
    #[serde(default = "get")]
    pub method: String,
    /// The authority.
    #[serde(default = "gitlab_example")]
    pub host: String,
    /// Path and query.
    pub path: String,
    /// `Authorization: Basic`.
    #[serde(default)]
    pub basic: Option<Credential>,
    /// `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// Further headers; a list repeats the header.
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
    /// The headers a host would hand over, pseudo-headers first.
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

/// What comes of a request. A field that is left out must be absent, but for `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The id of the rule that decided.
    #[serde(default)]
    pub rule: Option<String>,
    /// The cluster the request goes to.
    #[serde(default)]
    pub cell: Option<String>,
    /// `x-gitlab-http-router-rule-type`; any if left out.
    #[serde(default)]
    pub r#type: Option<String>,
    /// `x-cell-hash-key`.
    #[serde(default)]
    pub hash_key: Option<String>,
    /// The path the Cell sees instead of the client's, without query.
    #[serde(default)]
    pub rewrite_path: Option<String>,
    /// Bodies of the calls to the Topology Service, in order.
    #[serde(default)]
    pub calls: Vec<Value>,
    /// The answer at the edge.
    #[serde(default)]
    pub reply: Option<ExpectReply>,
}

/// An answer at the edge.
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
    /// Reads the reply out of what a client would see.
    #[must_use]
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = body.pointer("/errors/0/code").and_then(Value::as_str).unwrap_or_default();
        Self { status, code: code.to_owned() }
    }
}

impl Expect {
    /// What a decision looks like from outside.
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

    /// Compares with what was seen.
    ///
    /// # Errors
    /// Both sides, in words.
    pub fn check(&self, seen: &Self) -> Result<(), String> {
        let expected =
            Self { r#type: self.r#type.clone().or_else(|| seen.r#type.clone()), ..self.clone() };
        if expected == *seen {
            return Ok(());
        }
        let fields = |expect: &Self| serde_json::to_value(expect).unwrap_or_default();
        Err(difference(&fields(&expected), &fields(seen)))
    }
}

/// The fields of two objects that differ, two lines each.
fn difference(expected: &Value, seen: &Value) -> String {
    let fields = expected.as_object().into_iter().flatten();
    let differing = fields.filter_map(|(field, expected)| {
        let seen = seen.get(field).unwrap_or(&Value::Null);
        (seen != expected)
            .then(|| format!("{field}: expected {expected}\n{field}:      saw {seen}"))
    });
    differing.collect::<Vec<_>>().join("\n")
}

/// How a router ends with a request.
#[derive(Debug)]
pub enum End {
    /// It goes on.
    Decision(Decision),
    /// The edge answers.
    Reply(LocalReply),
}

/// Takes a request through a router; `answer` is what the Topology Service says to a call's body.
pub fn drive(
    router: &Router,
    headers: &Headers,
    now: Millis,
    mut answer: impl FnMut(&[u8]) -> CallResult,
) -> End {
    let mut step = router.start(&Request::new(headers), now);
    loop {
        step = match step {
            Step::Continue(decision) => return End::Decision(decision),
            Step::Reply(reply) => return End::Reply(reply),
            Step::Ask(calls, pending) => {
                let answers = calls.iter().map(|call| answer(call.body.as_bytes())).collect();
                router.resume(pending, answers, now)
            }
        };
    }
}

/// Runs a case against a router; calls are answered from `directory`, each round at once.
#[must_use]
pub fn run(router: &Router, request: &CaseRequest, directory: &Directory, now: Millis) -> Expect {
    let mut calls = Vec::new();
    let end = drive(router, &request.headers(), now, |body| {
        calls.push(read(body));
        directory.answer(body)
    });
    let seen = match end {
        End::Decision(decision) => Expect::of(decision),
        End::Reply(reply) => Expect {
            reply: Some(ExpectReply::of(reply.status, reply.body.as_bytes())),
            ..Expect::default()
        },
    };
    Expect { calls, ..seen }
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// A filter configuration around a ruleset, as small as it may be; a `proxy` rule without an address
/// goes to `proxy-address`.
#[must_use]
pub fn filter_config(ruleset: &Value) -> Value {
    json!({
        "topologyService": {"cluster": "topology", "authority": "topology", "retries": 0},
        "proxyAddress": "proxy-address",
        "responseHeaders": true,
        "ruleset": ruleset,
    })
}
