//! The variables that a rule defines and uses, as written in its model.

use super::pattern::Pattern;
use super::variables::{Reference, Template};
use crate::config::{MatchModel, RuleModel, TransformModel};

/// A variable that a rule defines.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    /// The defining field, as `match[0].regexValue`.
    pub(crate) field: String,
    /// Whether it comes from a header, a cookie or a parameter, which may contain credentials.
    pub(crate) secret: bool,
}

/// A variable that a rule uses.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) reference: Reference,
    /// Whether it leaves the edge in a query, a header or a path, unlike the input of a transform.
    pub(crate) sent: bool,
}

/// Returns the definitions of a rule, in order.
pub(crate) fn definitions(rule: &RuleModel) -> Vec<Definition> {
    let mut definitions = Vec::new();
    for (index, condition) in rule.r#match.0.iter().enumerate() {
        let secret = !matches!(condition, MatchModel::Path { .. } | MatchModel::Host { .. });
        let (name, value) = expressions(condition);
        captures(&mut definitions, &format!("match[{index}].regexName"), name, secret);
        captures(&mut definitions, &format!("match[{index}].regexValue"), value, secret);
    }
    for (index, step) in rule.transform.0.iter().enumerate() {
        if let TransformModel::DecodeBase64Match { regex_value, .. } = step {
            let field = format!("transform[{index}].regexValue");
            captures(&mut definitions, &field, Some(regex_value), true);
        }
        definitions.extend(output(step).map(|name| Definition {
            name: name.to_owned(),
            field: format!("transform[{index}].output"),
            secret: !matches!(step, TransformModel::RegistryScopes { .. }),
        }));
    }
    definitions
}

fn captures(
    definitions: &mut Vec<Definition>,
    field: &str,
    expression: Option<&String>,
    secret: bool,
) {
    let pattern = expression.and_then(|text| Pattern::compile(text).ok());
    let captured = pattern.iter().flat_map(Pattern::names);
    definitions.extend(captured.map(|name| Definition {
        name: name.clone(),
        field: field.to_owned(),
        secret,
    }));
}

/// Returns the expressions of a condition: that of a cookie's name, and that of the value.
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

/// Returns the uses of a rule, in order and without duplicates.
pub(crate) fn uses(rule: &RuleModel) -> Vec<Use> {
    let inputs = rule.transform.0.iter().flat_map(inputs);
    let exist = rule.validate.iter().flat_map(|validate| &validate.exist);
    let queries =
        rule.classify.0.iter().flat_map(|entry| {
            entry.value.iter().chain(entry.claims.iter().map(|claim| claim.value()))
        });
    let outward = queries.chain(&rule.hash_key.0).chain(&rule.rewrite_path);
    let inward = inputs.chain(exist).map(|text| (text, false));
    let mut uses: Vec<Use> = Vec::new();
    for (text, sent) in inward.chain(outward.map(|text| (text, true))) {
        let template: Option<Template> = text.parse().ok();
        for reference in template.iter().flat_map(Template::references) {
            match uses.iter_mut().find(|known| known.reference == *reference) {
                Some(known) => known.sent |= sent,
                None => uses.push(Use { reference: reference.clone(), sent }),
            }
        }
    }
    uses
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
