//! The rule language: rulesets, compiled and checked. Rules are tried in order; `matcher` tests a
//! request, `transform` decodes tokens and scopes into `variables`.

#[cfg(feature = "cases")]
pub(crate) mod bindings;
mod compile;
#[cfg(feature = "cases")]
pub mod lint;
mod matcher;
mod names;
mod pattern;
mod rewrite;
mod rule;
#[cfg(feature = "schema")]
pub mod schema;
mod scope;
mod transform;
mod values;
pub(crate) mod variables;

use std::collections::BTreeSet;

use crate::config::{ConfigError, RulesetModel};
use crate::decision::RuleAction;
use matcher::Matcher;
#[cfg(feature = "cases")]
pub(crate) use rule::Mismatch;
pub(crate) use rule::{Action, Rule};

/// A checked ruleset: ids are unique, variables are defined, and the last rule is unconditional.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) rules: Vec<Rule>,
    pub(crate) reserved_routes: Vec<String>,
    /// The number of rules, from the first on, that read only the path of a request.
    pub(crate) path_only: usize,
    headers: BTreeSet<String>,
}

impl Ruleset {
    /// Compiles and checks a ruleset. `proxy_address` is for `proxy` rules without an address.
    ///
    /// # Errors
    /// [`ConfigError`] names the first invalid rule and field.
    pub fn compile(model: RulesetModel, proxy_address: Option<&str>) -> Result<Self, ConfigError> {
        compile::reserved_routes(&model.reserved_routes)?;
        let rules = compile::rules(model.read_rules()?, proxy_address)?;
        let matchers = rules.iter().flat_map(Rule::matchers);
        let headers = matchers.filter_map(Matcher::header).map(str::to_owned).collect();
        let path_only = rules.iter().take_while(|rule| rule.reads_only_path()).count();
        Ok(Self { rules, reserved_routes: model.reserved_routes, path_only, headers })
    }

    /// Returns the ids of the rules, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.id.as_str())
    }

    /// Returns the ids and actions of the rules, in order.
    pub fn actions(&self) -> impl Iterator<Item = (&str, RuleAction)> {
        self.rules.iter().map(|rule| (rule.id.as_str(), rule.action.kind()))
    }

    /// Returns whether a rule may read this header. Other headers are not kept while a request waits.
    pub(crate) fn reads(&self, header: &str) -> bool {
        header.starts_with(':') || header == "host" || self.headers.contains(header)
    }
}
