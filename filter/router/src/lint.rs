//! What is no mistake the filter refuses, yet most likely one of its writer's.

use std::collections::BTreeSet;
use std::fmt;

use crate::cases::CaseFile;
use crate::config::{ActionModel, ConfigError, OnUnavailable, RuleModel, RulesetModel};
use crate::explain::{names, reads};

/// Something odd in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's id.
    pub rule: String,
    /// Its field.
    pub field: String,
    /// What is odd.
    pub problem: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`, {}: {}", self.rule, self.field, self.problem)
    }
}

/// Looks at a ruleset that compiles, with its cases if it has any.
///
/// # Errors
/// [`ConfigError`] if a rule cannot be read at all.
pub fn warnings(
    ruleset: &RulesetModel,
    cases: Option<&CaseFile>,
) -> Result<Vec<Warning>, ConfigError> {
    let rules = ruleset.read_rules()?;
    let unread = rules.iter().flat_map(unread);
    let shadowed = rules.iter().enumerate().filter_map(|(index, rule)| {
        let earlier = rules.iter().take(index).find(|earlier| shadows(earlier, rule))?;
        let problem = format!("unreachable: rule `{}` has the same and always decides", earlier.id);
        Some(warning(rule, "match", problem))
    });
    let endless = rules.last().filter(|rule| rule.on_unavailable == OnUnavailable::Next);
    let endless = endless.map(|rule| warning(rule, "onUnavailable", "no rule is next".to_owned()));
    let shown = cases.map(|file| {
        let rules = file.cases.iter().filter_map(|case| case.expect.rule.as_deref());
        rules.collect::<BTreeSet<_>>()
    });
    let unshown = rules
        .iter()
        .filter(|rule| shown.as_ref().is_some_and(|shown| !shown.contains(rule.id.as_str())));
    let unshown = unshown.map(|rule| warning(rule, "id", "no case ends at this rule".to_owned()));
    Ok(unread.chain(shadowed).chain(endless).chain(unshown).collect())
}

fn warning(rule: &RuleModel, field: &str, problem: String) -> Warning {
    Warning { rule: rule.id.clone(), field: field.to_owned(), problem }
}

/// Variables nobody reads.
fn unread(rule: &RuleModel) -> Vec<Warning> {
    let read: BTreeSet<_> = reads(rule).into_iter().map(|read| read.reference.name).collect();
    let unread = names(rule).into_iter().filter(|name| !read.contains(&name.name));
    let problem = |name: &str| format!("variable `{name}` is never read");
    unread.map(|name| warning(rule, &name.field, problem(&name.name))).collect()
}

/// Whether what matches `later` never gets there: a fixed way has no "not found".
fn shadows(earlier: &RuleModel, later: &RuleModel) -> bool {
    earlier.action == ActionModel::Proxy
        && earlier.transform.0.is_empty()
        && earlier.validate.is_none()
        && earlier.r#match == later.r#match
}

#[cfg(test)]
mod tests;
