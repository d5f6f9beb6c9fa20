//! Lints: rules that are valid but probably unintended.

use std::collections::BTreeSet;
use std::fmt;

use crate::cases::CaseFile;
use crate::config::{ActionModel, ConfigError, OnUnavailable, RuleModel, RulesetModel};
use crate::rules::bindings::{definitions, uses};

/// A lint in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The id of the rule.
    pub rule: String,
    /// The field.
    pub field: String,
    /// The problem.
    pub problem: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`, {}: {}", self.rule, self.field, self.problem)
    }
}

/// Checks a ruleset that compiles, and its cases if it has any.
///
/// # Errors
/// [`ConfigError`] if a rule cannot be parsed.
pub fn warnings(
    ruleset: &RulesetModel,
    cases: Option<&CaseFile>,
) -> Result<Vec<Warning>, ConfigError> {
    let rules = ruleset.read_rules()?;
    let unused = rules.iter().flat_map(unused);
    let shadowed = rules.iter().enumerate().filter_map(|(index, rule)| {
        let earlier = rules.iter().take(index).find(|earlier| shadows(earlier, rule))?;
        let problem =
            format!("unreachable: rule `{}` has the same match and always decides", earlier.id);
        Some(warning(rule, "match", problem))
    });
    let endless = rules.last().filter(|rule| rule.on_unavailable == OnUnavailable::Next);
    let endless = endless.map(|rule| {
        warning(rule, "onUnavailable", "`next` has no effect in the last rule".to_owned())
    });
    let expected = cases.map(|file| {
        let rules = file.cases.iter().filter_map(|case| case.expect.rule.as_deref());
        rules.collect::<BTreeSet<_>>()
    });
    let untested = rules.iter().filter(|rule| {
        expected.as_ref().is_some_and(|expected| !expected.contains(rule.id.as_str()))
    });
    let untested = untested.map(|rule| warning(rule, "id", "no case expects this rule".to_owned()));
    Ok(unused.chain(shadowed).chain(endless).chain(untested).collect())
}

fn warning(rule: &RuleModel, field: &str, problem: String) -> Warning {
    Warning { rule: rule.id.clone(), field: field.to_owned(), problem }
}

/// Returns a warning for each variable that is defined but not used.
fn unused(rule: &RuleModel) -> Vec<Warning> {
    let used: BTreeSet<_> = uses(rule).into_iter().map(|used| used.reference.name).collect();
    let unused = definitions(rule).into_iter().filter(|variable| !used.contains(&variable.name));
    let problem = |name: &str| format!("variable `{name}` is never used");
    unused.map(|variable| warning(rule, &variable.field, problem(&variable.name))).collect()
}

/// Returns whether `later` is unreachable: a fixed address is never "not found".
fn shadows(earlier: &RuleModel, later: &RuleModel) -> bool {
    earlier.action == ActionModel::Proxy
        && earlier.transform.0.is_empty()
        && earlier.validate.is_none()
        && earlier.r#match == later.r#match
}

#[cfg(test)]
mod tests;
