//! `ruleset explain`: the way of one request through the rules, for people or as JSON.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use router::explain::{Asked, Explanation, Outcome, Tried, Variable};
use router::{FORWARDED_HOST, explain};
use serde_json::Value;

use crate::Report;
use crate::files::{self, RulesetFile};
use crate::request::RequestOptions;

#[derive(Args)]
pub(crate) struct Options {
    /// A ruleset, or a filter's configuration that holds one.
    file: PathBuf,
    #[command(flatten)]
    request: RequestOptions,
    /// What the Topology Service knows: the `topology` of this file of cases, by default of the
    /// cases beside FILE.
    #[arg(long, value_name = "CASES")]
    cells: Option<PathBuf>,
    /// Show tokens, passwords and what was taken out of them.
    #[arg(long)]
    show_secrets: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let file = RulesetFile::read(&options.file)?;
    let cells = options.cells.clone().unwrap_or_else(|| file.cases_path());
    let directory = files::directory(&cells)
        .context("what does the Topology Service know? Say so by --cells FILE")?;
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
    Ok(Report { text, well: true })
}

fn render(request: &str, explanation: &Explanation, directory: &str) -> String {
    let tried = explanation.rules.iter().enumerate();
    let decided = match &explanation.outcome {
        Outcome::Decision { rule, .. } => Some(rule),
        Outcome::Reply { rule, .. } => rule.as_ref(),
    };
    let mut rules: String = tried
        .map(|(index, tried)| {
            let idle = tried.calls.is_empty() && decided != Some(&tried.rule);
            rule(index + 1, tried, directory, idle)
        })
        .collect();
    if !rules.is_empty() {
        rules.push('\n');
    }
    format!("{request}\n\n{rules}{}", outcome(&explanation.outcome))
}

fn rule(number: usize, tried: &Tried, directory: &str, idle: bool) -> String {
    let verdict = if tried.miss.is_some() { "does not apply" } else { "applies" };
    let mut text = format!("{number:>3}  {}: {verdict}\n", tried.rule);
    text.extend(tried.variables.iter().map(variable));
    text.extend(tried.unread.iter().chain(&tried.miss).map(|why| format!("       {why}\n")));
    text.extend(tried.calls.iter().map(|call| asked(call, directory)));
    if idle && tried.miss.is_none() {
        text += "       asks nothing: no value is there, it is reserved, or it was asked before\n";
    }
    text
}

fn variable(variable: &Variable) -> String {
    let texts = match variable.texts.as_slice() {
        [] => "(does not exist)".to_owned(),
        texts => texts.join(", "),
    };
    format!("       ${{{}}} = {texts}\n", variable.name)
}

fn asked(call: &Asked, directory: &str) -> String {
    let answer = match (call.status, &call.answer) {
        (Some(200), Some(answer)) => cell(answer),
        (Some(404), _) => format!("no Cell: {directory} does not know it"),
        (Some(status), _) => format!("status {status}"),
        (None, _) => "no answer: the Topology Service is unavailable".to_owned(),
    };
    format!("       asks {}\n         -> {answer}\n", call.question)
}

/// `cell-2, its registry registry-cell-2, by route`.
fn cell(answer: &Value) -> String {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let address = text("/proxy/address").unwrap_or_default();
    let registry = text("/proxy/registryAddress").map(|it| format!(", its registry {it}"));
    let claim = answer.get("matchedClaim").and_then(Value::as_object);
    let claim = claim.and_then(|claim| claim.keys().next()).map(|key| format!(", by {key}"));
    format!("{address}{}{}", registry.unwrap_or_default(), claim.unwrap_or_default())
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Decision { rule, cluster, target, headers, rewrite_path, .. } => {
            let target = target.map(|target| format!(" ({})", target.as_str()));
            let target = target.unwrap_or_default();
            let mut text = format!("=> {cluster}{target}, by rule `{rule}`\n");
            text.extend(headers.iter().map(|(name, value)| format!("     {name}: {value}\n")));
            text += &format!("     {FORWARDED_HOST}: the client's host\n");
            text.extend(rewrite_path.iter().map(|path| format!("     the Cell sees {path}\n")));
            text
        }
        Outcome::Reply { rule, refusal, status, body } => {
            let by = rule.as_ref().map(|rule| format!(", by rule `{rule}`")).unwrap_or_default();
            format!("=> {status} {refusal}, answered at the edge{by}\n     {body}\n")
        }
    }
}
