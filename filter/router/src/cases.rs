//! Cases of a ruleset, `NAME.cases.json` beside `NAME.json`: a request, the directory a Topology
//! Service would answer from, and what must come of it. They document the ruleset, and run against
//! the router here and against the compiled filter in the wasm harness.

mod directory;
mod secret;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{self, OneOrMany};
use crate::{ConfigError, Decision, Headers, Millis, Request, Router, Step};
pub use directory::Directory;
pub use secret::{Credential, Secret};

/// A case file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
            hash_key: decision.hash_key,
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
        Err(format!("expected {expected:#?}\nbut saw {seen:#?}"))
    }
}

/// Runs a case against a router; calls are answered from `directory`, each round at once.
#[must_use]
pub fn run(router: &Router, request: &CaseRequest, directory: &Directory, now: Millis) -> Expect {
    let headers = request.headers();
    let mut calls = Vec::new();
    let mut step = router.start(&Request::new(&headers), now);
    loop {
        let seen = match step {
            Step::Continue(decision) => Expect::of(decision),
            Step::Reply(reply) => Expect {
                reply: Some(ExpectReply::of(reply.status, reply.body.as_bytes())),
                ..Expect::default()
            },
            Step::Ask(asked, pending) => {
                let questions = asked.iter().map(|call| call.body.as_bytes());
                let answers = questions.clone().map(|body| directory.answer(body)).collect();
                calls.extend(questions.map(read));
                step = router.resume(pending, answers, now);
                continue;
            }
        };
        return Expect { calls, ..seen };
    }
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// A filter configuration around a ruleset, as small as it may be.
#[must_use]
pub fn filter_config(ruleset: &Value) -> Value {
    json!({
        "topologyService": {"cluster": "topology", "authority": "topology", "retries": 0},
        "responseHeaders": true,
        "ruleset": ruleset,
    })
}
