//! A rule as written: what it sets, what it reads, and its conditions in words.

use super::Variable;
use crate::config::{MatchModel, RuleModel, Target, TransformModel};
use crate::pattern::Pattern;
use crate::ruleset::Miss;
use crate::variables::{Reference, Template, Variables};

/// A variable a rule sets.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    /// The field that sets it, as `match[0].regexValue`.
    pub(crate) field: String,
    /// Whether it comes out of a header, a cookie or a parameter, where credentials are.
    secret: bool,
}

/// A variable a rule reads.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) reference: Reference,
    /// Whether it leaves the edge in a question, a header or a path; no transform's input does.
    decides: bool,
}

/// All a rule sets, in order.
pub(crate) fn names(rule: &RuleModel) -> Vec<Name> {
    let mut names = Vec::new();
    for (index, condition) in rule.r#match.0.iter().enumerate() {
        let secret = !matches!(condition, MatchModel::Path { .. } | MatchModel::Host { .. });
        let (name, value) = expressions(condition);
        captures(&mut names, &format!("match[{index}].regexName"), name, secret);
        captures(&mut names, &format!("match[{index}].regexValue"), value, secret);
    }
    for (index, step) in rule.transform.0.iter().enumerate() {
        if let TransformModel::DecodeBase64Match { regex_value, .. } = step {
            let field = format!("transform[{index}].regexValue");
            captures(&mut names, &field, Some(regex_value), true);
        }
        names.extend(output(step).map(|name| Name {
            name: name.to_owned(),
            field: format!("transform[{index}].output"),
            secret: !matches!(step, TransformModel::RegistryScopes { .. }),
        }));
    }
    names
}

fn captures(names: &mut Vec<Name>, field: &str, expression: Option<&String>, secret: bool) {
    let pattern = expression.and_then(|text| Pattern::compile(text).ok());
    let captured = pattern.iter().flat_map(Pattern::names);
    names.extend(captured.map(|name| Name { name: name.clone(), field: field.to_owned(), secret }));
}

/// The expressions of a condition: of a cookie's name, and of the value.
fn expressions(condition: &MatchModel) -> (Option<&String>, Option<&String>) {
    match condition {
        MatchModel::Path { regex_value } | MatchModel::Host { regex_value } => {
            (None, Some(regex_value))
        }
        MatchModel::Header { regex_value, .. } | MatchModel::Query { regex_value, .. } => {
            (None, regex_value.as_ref())
        }
        MatchModel::Cookie { regex_name, regex_value } => (Some(regex_name), Some(regex_value)),
        MatchModel::Method { .. } => (None, None),
    }
}

fn output(step: &TransformModel) -> Option<&str> {
    match step {
        TransformModel::RoutableTokenPayload { output, .. }
        | TransformModel::RoutableJson { output, .. }
        | TransformModel::JwtClaims { output, .. }
        | TransformModel::RegistryScopes { output } => Some(output),
        TransformModel::DecodeBase64Match { .. } => None,
    }
}

/// All a rule reads, in order, each once.
pub(crate) fn reads(rule: &RuleModel) -> Vec<Read> {
    let inputs = rule.transform.0.iter().flat_map(inputs);
    let exist = rule.validate.iter().flat_map(|validate| &validate.exist);
    let questions =
        rule.classify.0.iter().flat_map(|entry| {
            entry.value.iter().chain(entry.claims.iter().map(|claim| claim.value()))
        });
    let outward = questions.chain(&rule.hash_key.0).chain(&rule.rewrite_path);
    let inward = inputs.chain(exist).map(|text| (text, false));
    let mut reads: Vec<Read> = Vec::new();
    for (text, decides) in inward.chain(outward.map(|text| (text, true))) {
        let template: Option<Template> = text.parse().ok();
        for reference in template.iter().flat_map(Template::references) {
            match reads.iter_mut().find(|read| read.reference == *reference) {
                Some(read) => read.decides |= decides,
                None => reads.push(Read { reference: reference.clone(), decides }),
            }
        }
    }
    reads
}

fn inputs(step: &TransformModel) -> &[String] {
    match step {
        TransformModel::RoutableTokenPayload { input, .. } => &input.0,
        TransformModel::RoutableJson { input, .. }
        | TransformModel::JwtClaims { input, .. }
        | TransformModel::DecodeBase64Match { input, .. } => std::slice::from_ref(input),
        TransformModel::RegistryScopes { .. } => &[],
    }
}

/// What a rule read, with what it held.
pub(super) fn variables(rule: &RuleModel, held: &Variables) -> Vec<Variable> {
    let names = names(rule);
    let secret = |read: &Read| {
        let set = names.iter().find(|name| name.name == read.reference.name);
        !read.decides && set.is_none_or(|name| name.secret)
    };
    let variable = |read: Read| Variable {
        name: read.reference.to_string(),
        texts: held.texts(&read.reference),
        secret: secret(&read),
    };
    reads(rule).into_iter().map(variable).collect()
}

/// Which address all of a rule's questions ask for.
pub(super) fn target(rule: &RuleModel) -> Option<Target> {
    let mut targets = rule.classify.0.iter().map(|entry| entry.target);
    let first = targets.next()?;
    targets.all(|target| target == first).then_some(first)
}

/// Why a rule does not apply, with its field.
pub(super) fn why(miss: Miss, rule: &RuleModel) -> String {
    match miss {
        Miss::Match(index) => {
            let condition = rule.r#match.0.get(index).map(unmet).unwrap_or_default();
            format!("match[{index}]: {condition}")
        }
        Miss::Exist(index) => {
            let wanted = rule.validate.iter().flat_map(|validate| &validate.exist).nth(index);
            let wanted = wanted.map(String::as_str).unwrap_or_default();
            format!("validate.exist[{index}]: `{wanted}` does not exist")
        }
        Miss::RewritePath => {
            "rewritePath: one of its variables does not exist or does not fit into a path"
                .to_owned()
        }
    }
}

fn unmet(condition: &MatchModel) -> String {
    let absent = |what: &str, name: &str, regex: &Option<String>| match regex {
        Some(regex) => format!("no {what} `{name}` matches `{regex}`"),
        None => format!("there is no {what} `{name}`"),
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
