//! The result of explaining a request.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::classify::CallResult;
use crate::config::{RuleModel, Target};
use crate::reply::LocalReply;

/// How the rules handle a request.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The rules that were tried, in order.
    pub rules: Vec<ExplainedRule>,
    /// The result.
    pub outcome: ExplainedOutcome,
}

/// A rule that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedRule {
    /// The id of the rule.
    pub rule: String,
    /// Why the rule does not match; absent if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// Why transforms set no variable.
    #[serde(rename = "failedTransforms", skip_serializing_if = "Vec::is_empty")]
    pub failed_transforms: Vec<String>,
    /// The variables that the rule uses.
    pub variables: Vec<ExplainedVariable>,
    /// The calls made for this rule, in order.
    pub calls: Vec<ExplainedCall>,
}

/// A variable and its value.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedVariable {
    /// The name as used: `name` or `name.field`.
    pub name: String,
    /// The texts: none if the variable does not exist, several if it is a list.
    pub texts: Vec<String>,
    /// Whether it may contain a credential or part of one.
    pub secret: bool,
}

/// A call to the Topology Service.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedCall {
    /// The body of the request.
    pub request: Value,
    /// The body of the response, if there was one.
    pub response: Option<Value>,
    /// The status of the response.
    pub status: Option<u16>,
}

/// What happens to a request.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ExplainedOutcome {
    /// The request is routed to a Cell.
    Decision {
        /// The id of the deciding rule.
        rule: String,
        /// The name of Envoy's cluster.
        cluster: String,
        /// Which of the Cell's addresses it is; `None` for a fixed address.
        target: Option<Target>,
        /// Where the address came from.
        source: &'static str,
        /// The request headers that are set.
        headers: BTreeMap<&'static str, String>,
        /// The path that replaces the client's.
        rewrite_path: Option<String>,
    },
    /// The edge responds itself.
    Reply {
        /// The id of the rule that rejected the request; `None` if no rule did.
        rule: Option<String>,
        /// The reason, as in logs and metrics.
        reason: &'static str,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
}

impl Explanation {
    /// Replaces every text that may be a credential by its length.
    pub fn hide_secrets(&mut self) {
        for rule in &mut self.rules {
            for ExplainedVariable { texts, secret, .. } in &mut rule.variables {
                texts.iter_mut().for_each(|text| hide(text, *secret));
            }
            rule.calls.iter_mut().for_each(|call| hide_within(&mut call.request));
        }
        if let ExplainedOutcome::Decision { headers, rewrite_path, .. } = &mut self.outcome {
            headers.values_mut().chain(rewrite_path).for_each(|text| hide(text, false));
        }
    }
}

fn hide(text: &mut String, secret: bool) {
    if secret || gitlab::redact::looks_like_credential(text.as_bytes()) {
        *text = format!("(hidden, {} characters)", text.chars().count());
    }
}

fn hide_within(json: &mut Value) {
    match json {
        Value::String(text) => hide(text, false),
        Value::Array(items) => items.iter_mut().for_each(hide_within),
        Value::Object(fields) => fields.values_mut().for_each(hide_within),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl ExplainedCall {
    pub(super) fn new(request: &[u8], result: &CallResult) -> Self {
        let parse = |body: &[u8]| serde_json::from_slice(body).unwrap_or_default();
        let response = result.as_ref().ok();
        Self {
            request: parse(request),
            response: response.map(|response| parse(&response.body)),
            status: response.map(|response| response.status),
        }
    }
}

impl ExplainedOutcome {
    pub(super) fn of_reply(reply: &LocalReply, rule: Option<&RuleModel>) -> Self {
        Self::Reply {
            rule: rule.map(|rule| rule.id.clone()),
            reason: reply.rejection.as_str(),
            status: reply.status,
            body: serde_json::from_str(&reply.body).unwrap_or_default(),
        }
    }
}
