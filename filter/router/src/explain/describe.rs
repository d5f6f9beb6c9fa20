//! Describes rules and their conditions in words.

use super::report::ExplainedVariable;
use crate::config::{MatchModel, RuleModel, Target};
use crate::rules::Mismatch;
use crate::rules::bindings::{self, Use};
use crate::rules::variables::Variables;

/// Returns the variables that a rule uses and their values.
pub(super) fn variables(rule: &RuleModel, values: &Variables) -> Vec<ExplainedVariable> {
    let definitions = bindings::definitions(rule);
    let secret = |used: &Use| {
        let name = &used.reference.name;
        let definition = definitions.iter().find(|definition| definition.name == *name);
        !used.sent && definition.is_none_or(|definition| definition.secret)
    };
    let variable = |used: Use| ExplainedVariable {
        name: used.reference.to_string(),
        texts: values.texts(&used.reference),
        secret: secret(&used),
    };
    bindings::uses(rule).into_iter().map(variable).collect()
}

/// Returns the target of all of a rule's queries, or `None` if they differ.
pub(super) fn target(rule: &RuleModel) -> Option<Target> {
    let mut targets = rule.classify.0.iter().map(|entry| entry.target);
    let first = targets.next()?;
    targets.all(|target| target == first).then_some(first)
}

/// Describes why a rule does not match, with the field.
pub(super) fn mismatch(mismatch: Mismatch, rule: &RuleModel) -> String {
    match mismatch {
        Mismatch::Match(index) => {
            let condition = rule.r#match.0.get(index).map(unmet).unwrap_or_default();
            format!("match[{index}]: {condition}")
        }
        Mismatch::Exist(index) => {
            let template = rule.validate.iter().flat_map(|validate| &validate.exist).nth(index);
            let template = template.map(String::as_str).unwrap_or_default();
            format!("validate.exist[{index}]: `{template}` does not exist")
        }
        Mismatch::RewritePath => {
            "rewritePath: a variable does not exist or is invalid in a path".to_owned()
        }
    }
}

fn unmet(condition: &MatchModel) -> String {
    let absent = |what: &str, name: &str, regex: &Option<String>| match regex {
        Some(regex) => format!("no {what} `{name}` matches `{regex}`"),
        None => format!("no {what} `{name}`"),
    };
    match condition {
        MatchModel::Path { regex_value } => format!("the path does not match `{regex_value}`"),
        MatchModel::Host { regex_value } => format!("the host does not match `{regex_value}`"),
        MatchModel::Method { values } => format!("the method is not {}", values.0.join(" or ")),
        MatchModel::Header { name, regex_value } => absent("header", name, regex_value),
        MatchModel::Query { name, regex_value } => absent("parameter", name, regex_value),
        MatchModel::Cookie { regex_name, regex_value } => {
            format!("no cookie named `{regex_name}` matches `{regex_value}`")
        }
    }
}
