//! Explains rule by rule how a request is routed.
//!
//! The router itself makes the decisions: it runs with the first rule, then with the first two, and
//! so on. The calls and the decision that a further rule adds are that rule's.

mod describe;
mod report;

use serde_json::Value;

use crate::cases::{self, Directory, FinalStep};
use crate::config::{self, ConfigError, RuleModel, RulesetModel};
use crate::reply::{LocalReply, Rejection};
use crate::request::{Headers, Request};
use crate::router::Router;
use crate::rules::Mismatch;
use crate::rules::variables::Variables;
use crate::time::Millis;
pub use report::{ExplainedCall, ExplainedOutcome, ExplainedRule, ExplainedVariable, Explanation};

/// Explains one request. `config` is the filter's configuration, `directory` the Topology Service.
///
/// # Errors
/// [`ConfigError`] if the filter would reject the configuration.
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
    // Without rules, the router still rejects what no rule may see.
    let (end, _) = run(&router()?.limited_to(0), headers, directory);
    let mut decided = outcome(end, None);
    let mut rules: Vec<ExplainedRule> = Vec::new();
    let mut known_calls = 0;
    for (index, model) in models.iter().enumerate() {
        if decided.is_some() {
            break;
        }
        let mut rule = explain_rule(&whole, index, model, headers);
        if rule.mismatch.is_none() {
            let (end, calls) = run(&router()?.limited_to(index + 1), headers, directory);
            rule.calls = calls.into_iter().skip(known_calls).collect();
            known_calls += rule.calls.len();
            decided = outcome(end, Some(model));
        }
        rules.push(rule);
    }
    let no_cell = || ExplainedOutcome::of_reply(&LocalReply::from(Rejection::NoCell), None);
    Ok(Explanation { rules, outcome: decided.unwrap_or_else(no_cell) })
}

fn run(
    router: &Router,
    headers: &Headers,
    directory: &Directory,
) -> (FinalStep, Vec<ExplainedCall>) {
    let mut calls = Vec::new();
    let end = cases::drive(router, headers, Millis(0), |body| {
        let result = directory.respond(body);
        calls.push(ExplainedCall::new(body, &result));
        result
    });
    (end, calls)
}

fn explain_rule(
    router: &Router,
    index: usize,
    model: &RuleModel,
    headers: &Headers,
) -> ExplainedRule {
    let mut values = Variables::default();
    let rule = router.ruleset().rules.get(index);
    let request = Request::new(headers);
    let mismatch = rule.and_then(|rule| rule.matches(&request, &mut values).err());
    let (mut variables, mut failed) = (Vec::new(), Vec::new());
    if !matches!(mismatch, Some(Mismatch::Match(_))) {
        failed.extend(
            rule.into_iter().flat_map(|rule| rule.failed_transforms(&request, &mut values)),
        );
        variables = describe::variables(model, &values);
    }
    ExplainedRule {
        rule: model.id.clone(),
        mismatch: mismatch.map(|mismatch| describe::mismatch(mismatch, model)),
        failed_transforms: failed
            .iter()
            .map(|(at, why)| format!("transform[{at}]: {why}"))
            .collect(),
        variables,
        calls: Vec::new(),
    }
}

/// Returns the outcome if the rules so far decide, or `None` if the next rule is tried.
fn outcome(end: FinalStep, model: Option<&RuleModel>) -> Option<ExplainedOutcome> {
    match end {
        FinalStep::Reply(reply) if reply.rejection == Rejection::NoCell => None,
        FinalStep::Reply(reply) => Some(ExplainedOutcome::of_reply(&reply, model)),
        FinalStep::Decision(decision) => Some(ExplainedOutcome::Decision {
            headers: decision.headers().map(|(name, value)| (name, value.to_owned())).collect(),
            target: model.and_then(describe::target),
            source: decision.source.as_str(),
            rule: decision.rule,
            cluster: decision.cluster,
            rewrite_path: decision.rewrite_path,
        }),
    }
}

#[cfg(test)]
mod tests;
