//! What the router does with one request and why, rule by rule. It is the router itself that
//! decides, with one rule, with two, and so on: what a further rule asks and decides is what it adds.

mod written;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cases::{self, Directory, End};
use crate::config::{self, ConfigError, RuleModel, RulesetModel, Target};
use crate::decision::{LocalReply, Millis, Refusal};
use crate::ruleset::Miss;
use crate::variables::Variables;
use crate::{CallResult, Headers, Request, Router};
pub(crate) use written::{names, reads};

/// The way of a request through the rules.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The rules that were tried, in order.
    pub rules: Vec<Tried>,
    /// What came of it.
    pub outcome: Outcome,
}

/// One rule that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Its id.
    pub rule: String,
    /// Why it does not apply; none if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miss: Option<String>,
    /// Why transforms set nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The variables it reads or sets, as `decoded.c`, and their texts; none if it does not exist.
    pub variables: Vec<Variable>,
    /// What it asked, in order.
    pub calls: Vec<Asked>,
}

/// A variable and what it holds.
#[derive(Debug, Clone, Serialize)]
pub struct Variable {
    /// As it is read: `name` or `name.field`.
    pub name: String,
    /// Its texts: none if it does not exist, several if it is a list.
    pub texts: Vec<String>,
    /// Whether it may hold a credential or a part of one.
    pub secret: bool,
}

/// A call to the Topology Service.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// The body POSTed.
    pub question: Value,
    /// The answer's body; none if there was no answer.
    pub answer: Option<Value>,
    /// The answer's status.
    pub status: Option<u16>,
}

/// What the router said in the end.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The request goes on.
    Decision {
        /// The rule that decided.
        rule: String,
        /// Envoy's cluster.
        cluster: String,
        /// Which of the Cell's addresses it is; none for a fixed address.
        target: Option<Target>,
        /// Where the answer came from.
        source: &'static str,
        /// The request headers that are set.
        headers: BTreeMap<&'static str, String>,
        /// The path the Cell sees instead.
        rewrite_path: Option<String>,
    },
    /// The edge answers.
    Reply {
        /// The rule that led to it; none if no rule saw the request.
        rule: Option<String>,
        /// Why, as in logs and metrics.
        refusal: &'static str,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
}

impl Explanation {
    /// Says only how long what may be a credential is.
    pub fn hide_secrets(&mut self) {
        for rule in &mut self.rules {
            for Variable { texts, secret, .. } in &mut rule.variables {
                texts.iter_mut().for_each(|text| hide(text, *secret));
            }
            rule.calls.iter_mut().for_each(|call| hide_within(&mut call.question));
        }
        if let Outcome::Decision { headers, rewrite_path, .. } = &mut self.outcome {
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

/// Explains one request; `config` is the filter's configuration, `directory` the Topology Service.
///
/// # Errors
/// [`ConfigError`] as the filter refuses the configuration.
pub fn explain(
    config: &Value,
    headers: &Headers,
    directory: &Directory,
) -> Result<Explanation, ConfigError> {
    let ruleset = config.get("ruleset").cloned().unwrap_or_default();
    let ruleset: RulesetModel = config::from_json(ruleset.to_string().as_bytes())?;
    let models = ruleset.read_rules()?;
    let json = config.to_string();
    let router = || Router::from_json(json.as_bytes());
    let whole = router()?;
    // With no rule at all, only what no rule should see is refused.
    let (end, _) = run(&router()?.limited_to(0), headers, directory);
    let mut decided = outcome(end, None);
    let mut rules: Vec<Tried> = Vec::new();
    let mut asked = 0;
    for (index, model) in models.iter().enumerate() {
        if decided.is_some() {
            break;
        }
        let mut rule = tried(&whole, index, model, headers);
        if rule.miss.is_none() {
            let (end, calls) = run(&router()?.limited_to(index + 1), headers, directory);
            rule.calls = calls.into_iter().skip(asked).collect();
            asked += rule.calls.len();
            decided = outcome(end, Some(model));
        }
        rules.push(rule);
    }
    let no_cell = || Outcome::of(&LocalReply::from(Refusal::NoCell), None);
    Ok(Explanation { rules, outcome: decided.unwrap_or_else(no_cell) })
}

fn run(router: &Router, headers: &Headers, directory: &Directory) -> (End, Vec<Asked>) {
    let mut calls = Vec::new();
    let end = cases::drive(router, headers, Millis(0), |body| {
        let answer = directory.answer(body);
        calls.push(Asked::new(body, &answer));
        answer
    });
    (end, calls)
}

impl Asked {
    fn new(question: &[u8], answer: &CallResult) -> Self {
        let read = |body: &[u8]| serde_json::from_slice(body).unwrap_or_default();
        let answer = answer.as_ref().ok();
        Self {
            question: read(question),
            answer: answer.map(|answer| read(&answer.body)),
            status: answer.map(|answer| answer.status),
        }
    }
}

fn tried(router: &Router, index: usize, model: &RuleModel, headers: &Headers) -> Tried {
    let mut held = Variables::default();
    let rule = router.ruleset().rules.get(index);
    let request = Request::new(headers);
    let miss = rule.and_then(|rule| rule.applies(&request, &mut held).err());
    let (mut variables, mut unread) = (Vec::new(), Vec::new());
    if !matches!(miss, Some(Miss::Match(_))) {
        unread.extend(rule.into_iter().flat_map(|rule| rule.unread(&request, &mut held)));
        variables = written::variables(model, &held);
    }
    Tried {
        rule: model.id.clone(),
        miss: miss.map(|miss| written::why(miss, model)),
        unread: unread.iter().map(|(at, why)| format!("transform[{at}]: {why}")).collect(),
        variables,
        calls: Vec::new(),
    }
}

/// What an end means if the rules so far end there; none if the next rule goes on.
fn outcome(end: End, model: Option<&RuleModel>) -> Option<Outcome> {
    match end {
        End::Reply(reply) if reply.refusal == Refusal::NoCell => None,
        End::Reply(reply) => Some(Outcome::of(&reply, model)),
        End::Decision(decision) => Some(Outcome::Decision {
            headers: decision.headers().map(|(name, value)| (name, value.to_owned())).collect(),
            target: model.and_then(written::target),
            source: decision.source.as_str(),
            rule: decision.rule,
            cluster: decision.cluster,
            rewrite_path: decision.rewrite_path,
        }),
    }
}

impl Outcome {
    fn of(reply: &LocalReply, model: Option<&RuleModel>) -> Self {
        Self::Reply {
            rule: model.map(|model| model.id.clone()),
            refusal: reply.refusal.as_str(),
            status: reply.status,
            body: serde_json::from_str(&reply.body).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
