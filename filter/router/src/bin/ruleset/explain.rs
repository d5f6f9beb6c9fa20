//! `ruleset explain`: how the rules route one request, as text or as JSON.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use router::explain::{
    ExplainedCall, ExplainedOutcome, ExplainedRule, ExplainedVariable, Explanation,
};
use router::{FORWARDED_HOST, explain};
use serde_json::Value;

use crate::files::{self, RulesetFile};
use crate::report::Report;
use crate::request::RequestOptions;

#[derive(Args)]
pub(crate) struct Options {
    /// A ruleset, or a filter configuration that contains one.
    file: PathBuf,
    #[command(flatten)]
    request: RequestOptions,
    /// The directory of the Topology Service: the `topology` of this file of cases [default: that of
    /// FILE's cases].
    #[arg(long, value_name = "CASES")]
    cells: Option<PathBuf>,
    /// Show tokens, passwords and values derived from them.
    #[arg(long)]
    show_secrets: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let file = RulesetFile::read(&options.file)?;
    let cells = options.cells.clone().unwrap_or_else(|| file.cases_path());
    let directory = files::directory(&cells)
        .context("no directory of the Topology Service; pass one by --cells FILE")?;
    let headers = options.request.headers()?;
    let mut explanation = explain::explain(&file.config, &headers, &directory)
        .with_context(|| file.path.display().to_string())?;
    if !options.show_secrets {
        explanation.hide_secrets();
    }
    let text = if options.json {
        serde_json::to_string_pretty(&explanation)? + "\n"
    } else {
        let line = options.request.line(&headers, options.show_secrets);
        let directory = cells.display().to_string();
        render(&line, &explanation, &directory)
    };
    Ok(Report { text, success: true })
}

fn render(request: &str, explanation: &Explanation, directory: &str) -> String {
    let rules = explanation.rules.iter().enumerate();
    let decided = match &explanation.outcome {
        ExplainedOutcome::Decision { rule, .. } => Some(rule),
        ExplainedOutcome::Reply { rule, .. } => rule.as_ref(),
    };
    let mut rules: String = rules
        .map(|(index, explained)| {
            let idle = explained.calls.is_empty() && decided != Some(&explained.rule);
            rule(index + 1, explained, directory, idle)
        })
        .collect();
    if !rules.is_empty() {
        rules.push('\n');
    }
    format!("{request}\n\n{rules}{}", outcome(&explanation.outcome))
}

fn rule(number: usize, explained: &ExplainedRule, directory: &str, idle: bool) -> String {
    let ExplainedRule { rule, mismatch, failed_transforms, variables, calls } = explained;
    let verdict = if mismatch.is_some() { "does not match" } else { "matches" };
    let mut text = format!("{number:>3}  {rule}: {verdict}\n");
    text.extend(variables.iter().map(variable));
    let reasons = failed_transforms.iter().chain(mismatch);
    text.extend(reasons.map(|reason| format!("       {reason}\n")));
    text.extend(calls.iter().map(|explained| call(explained, directory)));
    if idle && mismatch.is_none() {
        text += "       no call: the value is missing, reserved, or classified before\n";
    }
    text
}

fn variable(variable: &ExplainedVariable) -> String {
    let texts = match variable.texts.as_slice() {
        [] => "(does not exist)".to_owned(),
        texts => texts.join(", "),
    };
    format!("       ${{{}}} = {texts}\n", variable.name)
}

fn call(call: &ExplainedCall, directory: &str) -> String {
    let result = match (call.status, &call.response) {
        (Some(200), Some(response)) => cell(response),
        (Some(404), _) => format!("not found in {directory}"),
        (Some(status), _) => format!("status {status}"),
        (None, _) => "no response: the Topology Service is unavailable".to_owned(),
    };
    format!("       classify {}\n         -> {result}\n", call.request)
}

/// Describes a Cell as `cell-2, registry registry-cell-2, matched by route`.
fn cell(response: &Value) -> String {
    let text = |pointer: &str| response.pointer(pointer).and_then(Value::as_str);
    let address = text("/proxy/address").unwrap_or_default();
    let registry = text("/proxy/registryAddress").map(|it| format!(", registry {it}"));
    let claim = response.get("matchedClaim").and_then(Value::as_object);
    let claim =
        claim.and_then(|claim| claim.keys().next()).map(|key| format!(", matched by {key}"));
    format!("{address}{}{}", registry.unwrap_or_default(), claim.unwrap_or_default())
}

fn outcome(outcome: &ExplainedOutcome) -> String {
    match outcome {
        ExplainedOutcome::Decision { rule, cluster, target, headers, rewrite_path, .. } => {
            let target = target.map(|target| format!(" ({})", target.as_str()));
            let target = target.unwrap_or_default();
            let mut text = format!("=> {cluster}{target}, by rule `{rule}`\n");
            text.extend(headers.iter().map(|(name, value)| format!("     {name}: {value}\n")));
            text += &format!("     {FORWARDED_HOST}: the client's host\n");
            text.extend(rewrite_path.iter().map(|path| format!("     path rewritten to {path}\n")));
            text
        }
        ExplainedOutcome::Reply { rule, reason, status, body } => {
            let by = rule.as_ref().map(|rule| format!(", by rule `{rule}`")).unwrap_or_default();
            format!("=> {status} {reason}, rejected at the edge{by}\n     {body}\n")
        }
    }
}
