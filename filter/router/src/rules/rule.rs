//! One rule: its conditions, and what it does with a request that meets them.

use super::matcher::Matcher;
use super::rewrite::RewritePath;
use super::transform::Transform;
use super::variables::{Template, Variables};
use crate::classify::ClassifyEntry;
use crate::config::OnUnavailable;
use crate::decision::RuleAction;
use crate::request::Request;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(super) matchers: Vec<Matcher>,
    pub(super) transforms: Vec<Transform>,
    pub(super) exist: Vec<Template>,
    pub(crate) action: Action,
    pub(super) hash_key: Vec<Template>,
    pub(super) rewrite_path: Option<RewritePath>,
    pub(crate) on_unavailable: OnUnavailable,
}

/// What a rule does with a request that matches.
#[derive(Debug)]
pub(crate) enum Action {
    Classify(Vec<ClassifyEntry>),
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

/// Why a rule does not match: the index in its `match` or `validate.exist`, or its `rewritePath`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Match(usize),
    Exist(usize),
    RewritePath,
}

impl Rule {
    /// Returns whether every condition holds, and adds the captures and transformed values to
    /// `variables`.
    pub(crate) fn matches(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Result<(), Mismatch> {
        let fails = |matcher: &Matcher| !matcher.matches(request, variables);
        if let Some(index) = self.matchers.iter().position(fails) {
            return Err(Mismatch::Match(index));
        }
        for transform in &self.transforms {
            // A transform that fails sets no variable; `validate` catches that if the rule needs it.
            let _ = transform.apply(request, variables);
        }
        let missing = |template: &Template| template.expand(variables).is_empty();
        if let Some(index) = self.exist.iter().position(missing) {
            return Err(Mismatch::Exist(index));
        }
        let rewritable = |path: &RewritePath| path.fill(variables).is_some();
        self.rewrite_path.iter().all(rewritable).then_some(()).ok_or(Mismatch::RewritePath)
    }

    /// Returns the transforms that fail for a request, by index, and the reasons.
    #[cfg(feature = "cases")]
    pub(crate) fn failed_transforms(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Vec<(usize, super::transform::TransformError)> {
        let transforms = self.transforms.iter().enumerate();
        let failed = transforms.filter_map(|(index, transform)| {
            Some((index, transform.apply(request, variables).err()?))
        });
        failed.collect()
    }

    pub(crate) fn hash_key(&self, variables: &Variables) -> Option<String> {
        self.hash_key.iter().find_map(|template| template.one(variables))
    }

    pub(crate) fn rewrite_path(&self, variables: &Variables) -> Option<String> {
        self.rewrite_path.as_ref()?.fill(variables)
    }

    pub(super) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    pub(super) fn reads_only_path(&self) -> bool {
        self.matchers.iter().all(|matcher| matches!(matcher, Matcher::Path(_)))
            && !self.transforms.iter().any(Transform::reads_request)
    }

    /// Returns whether every request matches.
    pub(super) fn is_unconditional(&self) -> bool {
        self.matchers.is_empty() && self.transforms.is_empty() && self.exist.is_empty()
    }
}
