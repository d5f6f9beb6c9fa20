//! Compiled rules, tried in order. Matching, transforming and validating stand here; what a rule
//! asks is [`crate::classify`], how the rules follow on each other is [`crate::router`].

mod compile;
mod names;
mod rewrite;

use std::collections::BTreeSet;

use crate::classify::Classification;
use crate::config::{ConfigError, OnUnavailable, RulesetModel};
use crate::decision::RuleAction;
use crate::matcher::Matcher;
use crate::request::Request;
use crate::transform::Transform;
use crate::variables::{Template, Variables};
use rewrite::RewritePath;

/// Rules that passed every check: ids are unique, variables known, and the last is unconditional.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) rules: Vec<Rule>,
    pub(crate) reserved_routes: Vec<String>,
    /// How many rules, from the first on, read nothing of a request but its path.
    pub(crate) leading: usize,
    headers: BTreeSet<String>,
}

impl Ruleset {
    /// Compiles and checks a ruleset; `proxy_address` is for `proxy` rules that name none.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first rule and field at fault.
    pub fn compile(model: RulesetModel, proxy_address: Option<&str>) -> Result<Self, ConfigError> {
        compile::reserved_routes(&model.reserved_routes)?;
        let rules = compile::rules(model.read_rules()?, proxy_address)?;
        let matchers = rules.iter().flat_map(|rule: &Rule| &rule.matchers);
        let headers = matchers.filter_map(Matcher::header).map(str::to_owned).collect();
        let leading = rules.iter().take_while(|rule| rule.reads_only_path()).count();
        Ok(Self { rules, reserved_routes: model.reserved_routes, leading, headers })
    }

    /// The ids of the rules, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.id.as_str())
    }

    /// The ids of the rules and what they do, in order.
    pub fn actions(&self) -> impl Iterator<Item = (&str, RuleAction)> {
        self.rules.iter().map(|rule| (rule.id.as_str(), rule.action.kind()))
    }

    /// Whether a rule may read this header; others need not be kept while a question is asked.
    pub(crate) fn reads(&self, header: &str) -> bool {
        header.starts_with(':') || header == "host" || self.headers.contains(header)
    }
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    matchers: Vec<Matcher>,
    transforms: Vec<Transform>,
    exist: Vec<Template>,
    pub(crate) action: Action,
    hash_key: Vec<Template>,
    rewrite_path: Option<RewritePath>,
    pub(crate) on_unavailable: OnUnavailable,
}

/// What a rule does once it applies.
#[derive(Debug)]
pub(crate) enum Action {
    Classify(Vec<Classification>),
    Proxy(String),
}

impl Action {
    pub(crate) fn kind(&self) -> RuleAction {
        match self {
            Self::Classify(_) => RuleAction::Classify,
            Self::Proxy(_) => RuleAction::Proxy,
        }
    }
}

/// Why a rule does not apply: the place in its `match` or `validate.exist`, or its `rewritePath`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    Match(usize),
    Exist(usize),
    RewritePath,
}

impl Rule {
    /// Whether every condition holds; `variables` keeps what was captured on the way.
    pub(crate) fn applies(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Result<(), Miss> {
        let fails = |matcher: &Matcher| !matcher.holds(request, variables);
        if let Some(index) = self.matchers.iter().position(fails) {
            return Err(Miss::Match(index));
        }
        for transform in &self.transforms {
            // What it cannot read sets nothing, and the rule falls through where it needs that.
            let _ = transform.apply(request, variables);
        }
        let lacks = |template: &Template| template.expand(variables).is_empty();
        if let Some(index) = self.exist.iter().position(lacks) {
            return Err(Miss::Exist(index));
        }
        let rewritable = |path: &RewritePath| path.fill(variables).is_some();
        self.rewrite_path.iter().all(rewritable).then_some(()).ok_or(Miss::RewritePath)
    }

    /// The transforms that set nothing once the rule saw a request, and why.
    #[cfg(feature = "cases")]
    pub(crate) fn unread(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Vec<(usize, crate::transform::Unread)> {
        let transforms = self.transforms.iter().enumerate();
        let unread = transforms.filter_map(|(index, transform)| {
            Some((index, transform.apply(request, variables).err()?))
        });
        unread.collect()
    }

    pub(crate) fn hash_key(&self, variables: &Variables) -> Option<String> {
        self.hash_key.iter().find_map(|template| template.one(variables))
    }

    pub(crate) fn rewrite_path(&self, variables: &Variables) -> Option<String> {
        self.rewrite_path.as_ref()?.fill(variables)
    }

    fn reads_only_path(&self) -> bool {
        self.matchers.iter().all(|matcher| matches!(matcher, Matcher::Path(_)))
            && !self.transforms.iter().any(Transform::reads_request)
    }

    /// Whether no request can pass it by before it acts.
    fn is_unconditional(&self) -> bool {
        self.matchers.is_empty() && self.transforms.is_empty() && self.exist.is_empty()
    }
}
