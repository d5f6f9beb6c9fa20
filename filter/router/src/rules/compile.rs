//! Compiles rules from their JSON models and rejects every mistake that can be found without a
//! request.

use super::matcher::Matcher;
use super::names::{Names, VariableKind};
use super::pattern::Pattern;
use super::rewrite::RewritePath;
use super::rule::{Action, Rule};
use super::transform::Transform;
use super::values;
use crate::classify::{ClassifyEntry, claim_parts, is_address};
use crate::config::{
    ActionModel, ClassifyModel, ClassifyType, ConfigError, MatchModel, RuleModel, TransformModel,
};

/// The number of rules in a ruleset, ten times that of GitLab's.
const MAX_RULES: usize = 200;

/// The number of regular expressions in a ruleset; each may take 128 KiB.
const MAX_EXPRESSIONS: usize = 300;

/// The length of any list in a rule.
const MAX_ITEMS: usize = 16;

/// An invalid field of the rule being compiled.
struct FieldError {
    field: String,
    problem: String,
}

type FieldResult<T> = Result<T, FieldError>;

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), problem: problem.into() }
}

/// Adds the field to an error.
trait InField<T> {
    fn in_field(self, field: &str) -> FieldResult<T>;
}

impl<T, E: ToString> InField<T> for Result<T, E> {
    fn in_field(self, field: &str) -> FieldResult<T> {
        self.map_err(|error| invalid(field, error.to_string()))
    }
}

pub(super) fn reserved_routes(routes: &[String]) -> Result<(), ConfigError> {
    let refused = |problem| ConfigError::Value { field: "reservedRoutes", problem };
    values::reserved_routes(routes).map_err(refused)
}

pub(super) fn rules(
    models: Vec<RuleModel>,
    proxy_address: Option<&str>,
) -> Result<Vec<Rule>, ConfigError> {
    if models.len() > MAX_RULES {
        return Err(ConfigError::Value {
            field: "rules",
            problem: "a ruleset can have at most 200 rules",
        });
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut expressions = 0;
    for model in models {
        let id = model.id.clone();
        expressions += count_expressions(&model);
        let few = (expressions <= MAX_EXPRESSIONS).then_some(());
        let few = few
            .ok_or_else(|| invalid("match", "a ruleset can have at most 300 regular expressions"));
        let checked = few.and_then(|()| check_order(&rules, &id));
        let checked = checked.and_then(|()| rule(model, proxy_address));
        rules.push(checked.map_err(|FieldError { field, problem }| ConfigError::Rule {
            rule: id,
            field,
            problem,
        })?);
    }
    match rules.last() {
        Some(last) if last.is_unconditional() => Ok(rules),
        Some(last) => Err(ConfigError::Rule {
            rule: last.id.clone(),
            field: "match".to_owned(),
            problem: "the last rule must be unconditional, without match, transform and validate"
                .into(),
        }),
        None => Err(ConfigError::Value {
            field: "rules",
            problem: "a ruleset must have at least one rule",
        }),
    }
}

fn count_expressions(rule: &RuleModel) -> usize {
    let conditions = rule.r#match.0.iter().map(|condition| match condition {
        MatchModel::Path { .. } | MatchModel::Host { .. } => 1,
        MatchModel::Header { regex_value, .. } | MatchModel::Query { regex_value, .. } => {
            usize::from(regex_value.is_some())
        }
        MatchModel::Cookie { .. } => 2,
        MatchModel::Method { .. } => 0,
    });
    let steps = rule.transform.0.iter();
    let decoding = steps.filter(|step| matches!(step, TransformModel::DecodeBase64Match { .. }));
    conditions.sum::<usize>() + decoding.count()
}

/// Checks whether a rule with this id may follow the `earlier` rules.
fn check_order(earlier: &[Rule], id: &str) -> FieldResult<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if id.is_empty() || !id.bytes().all(plain) {
        return Err(invalid("id", "an id must consist of 0-9A-Za-z_.- and not be empty"));
    }
    if earlier.iter().any(|rule| rule.id == id) {
        return Err(invalid("id", "another rule has this id"));
    }
    match earlier.last() {
        Some(last) if last.is_unconditional() => Err(invalid(
            "id",
            format!("unreachable: the previous rule `{}` is unconditional", last.id),
        )),
        _ => Ok(()),
    }
}

fn rule(model: RuleModel, proxy_address: Option<&str>) -> FieldResult<Rule> {
    let mut names = Names::default();
    let action = action(&model, proxy_address)?;
    let matchers = each("match", model.r#match.0, |field, m| matcher(field, m, &mut names))?;
    let transforms =
        each("transform", model.transform.0, |field, t| transform(field, t, &mut names))?;
    let template = |field: &str, text: String| names.template(&text).in_field(field);
    let exist = model.validate.map(|validate| validate.exist);
    exist.as_deref().map_or(Ok(()), values::exist).in_field("validate.exist")?;
    let rewrite_path = model.rewrite_path.map(|path| RewritePath::compile(&path, &names));
    let rewrite_path = rewrite_path.transpose().in_field("rewritePath")?;
    Ok(Rule {
        id: model.id,
        matchers,
        transforms,
        exist: each("validate.exist", exist.unwrap_or_default(), template)?,
        action: match action {
            Some(address) => Action::Proxy(address),
            None => Action::Classify(each("classify", model.classify.0, |field, entry| {
                classify_entry(field, entry, &names)
            })?),
        },
        hash_key: each("hashKey", model.hash_key.0, template)?,
        rewrite_path,
        on_unavailable: model.on_unavailable,
    })
}

/// Compiles each item of a list, with the item's field for errors.
fn each<M, T>(
    field: &str,
    models: Vec<M>,
    mut compile: impl FnMut(&str, M) -> FieldResult<T>,
) -> FieldResult<Vec<T>> {
    if models.len() > MAX_ITEMS {
        return Err(invalid(field, format!("a list can have at most {MAX_ITEMS} items")));
    }
    let models = models.into_iter().enumerate();
    models.map(|(index, model)| compile(&format!("{field}[{index}]"), model)).collect()
}

/// Returns the fixed address of a `proxy` rule, or `None` for `classify`.
fn action(model: &RuleModel, proxy_address: Option<&str>) -> FieldResult<Option<String>> {
    match model.action {
        ActionModel::Classify if model.classify.0.is_empty() => {
            Err(invalid("classify", "action `classify` requires at least one entry"))
        }
        ActionModel::Classify if model.proxy.is_some() => {
            Err(invalid("proxy", "action `classify` cannot have `proxy`"))
        }
        ActionModel::Classify => Ok(None),
        ActionModel::Proxy if !model.classify.0.is_empty() => {
            Err(invalid("classify", "action `proxy` cannot have `classify`"))
        }
        ActionModel::Proxy => {
            let own = model.proxy.as_ref().map(|proxy| proxy.address.as_str());
            let missing = "no address: neither the rule nor the filter's `proxyAddress` has one";
            let address = own.or(proxy_address).ok_or_else(|| invalid("proxy", missing))?;
            let valid = is_address(address).then(|| address.to_owned());
            valid.map(Some).ok_or_else(|| invalid("proxy.address", "not a valid cluster name"))
        }
    }
}

fn pattern(field: &str, key: &str, text: &str, names: &mut Names) -> FieldResult<Pattern> {
    let field = format!("{field}.{key}");
    let pattern = Pattern::compile(text).in_field(&field)?;
    for name in pattern.names() {
        names.define(name, VariableKind::Text).in_field(&field)?;
    }
    Ok(pattern)
}

fn matcher(field: &str, model: MatchModel, names: &mut Names) -> FieldResult<Matcher> {
    let mut value = |text: &str| pattern(field, "regexValue", text, names);
    Ok(match model {
        MatchModel::Path { regex_value } => Matcher::Path(value(&regex_value)?),
        MatchModel::Host { regex_value } => Matcher::Host(value(&regex_value)?),
        MatchModel::Method { values: methods } => {
            values::methods(&methods.0).in_field(&format!("{field}.values"))?;
            Matcher::Method(methods.0)
        }
        MatchModel::Header { name, regex_value } => {
            values::header_name(&name).in_field(&format!("{field}.name"))?;
            let pattern = regex_value.map(|text| value(&text)).transpose()?;
            Matcher::Header(name.to_ascii_lowercase(), pattern)
        }
        MatchModel::Query { name, regex_value } => {
            values::parameter_name(&name).in_field(&format!("{field}.name"))?;
            Matcher::Query(name, regex_value.map(|text| value(&text)).transpose()?)
        }
        MatchModel::Cookie { regex_name, regex_value } => {
            let value = value(&regex_value)?;
            Matcher::Cookie { name: pattern(field, "regexName", &regex_name, names)?, value }
        }
    })
}

fn transform(field: &str, model: TransformModel, names: &mut Names) -> FieldResult<Transform> {
    let input_field = format!("{field}.input");
    let input = |text: &str, names: &Names| names.template(text).in_field(&input_field);
    let (transform, output, shape) = match model {
        TransformModel::RoutableTokenPayload { input: texts, output } => {
            (routable(&input_field, &texts.0, &output, names)?, output, VariableKind::Routing)
        }
        TransformModel::RoutableJson { input: text, output } => {
            let payload = input(&text, names)?;
            (
                Transform::RoutableJson { payload, output: output.clone() },
                output,
                VariableKind::Routing,
            )
        }
        TransformModel::JwtClaims { input: text, output } => {
            let token = input(&text, names)?;
            (Transform::JwtClaims { token, output: output.clone() }, output, VariableKind::Claims)
        }
        TransformModel::RegistryScopes { output } => {
            (Transform::RegistryScopes { output: output.clone() }, output, VariableKind::Scopes)
        }
        TransformModel::DecodeBase64Match { input: text, regex_value } => {
            let input = input(&text, names)?;
            let pattern = pattern(field, "regexValue", &regex_value, names)?;
            return Ok(Transform::DecodeBase64Match { input, pattern });
        }
    };
    names.define(&output, shape).in_field(&format!("{field}.output"))?;
    Ok(transform)
}

fn routable(field: &str, texts: &[String], output: &str, names: &Names) -> FieldResult<Transform> {
    let template = |text: &String| names.template(text).in_field(field);
    let output = output.to_owned();
    match texts {
        [token] => Ok(Transform::RoutableToken { token: template(token)?, output }),
        [payload, length] => Ok(Transform::RoutablePayload {
            payload: template(payload)?,
            length: template(length)?,
            output,
        }),
        _ => Err(invalid(field, "expected the whole token, or its payload and length")),
    }
}

fn classify_entry(field: &str, model: ClassifyModel, names: &Names) -> FieldResult<ClassifyEntry> {
    let value_field = format!("{field}.value");
    match (model.r#type, model.claims.is_empty()) {
        (Some(_), false) => Err(invalid(field, "`type` and `claims` cannot be combined")),
        (None, true) => Err(invalid(field, "`type` or `claims` is required")),
        (None, false) if model.value.is_some() => {
            Err(invalid(value_field, "`value` cannot be combined with `claims`"))
        }
        (None, false) => {
            let claims = each(&format!("{field}.claims"), model.claims, |field, claim| {
                let (key, value) = claim_parts(claim);
                Ok((key, names.template(&value).in_field(&format!("{field}.{key}"))?))
            })?;
            Ok(ClassifyEntry::by_claims(claims, model.target))
        }
        (Some(kind), true) => {
            let value =
                model.value.map(|text| names.template(&text).in_field(&value_field)).transpose()?;
            match (kind == ClassifyType::FirstCell, value.is_some()) {
                (true, true) => Err(invalid(value_field, "`FIRST_CELL` cannot have a value")),
                (false, false) => Err(invalid(value_field, "this type requires a value")),
                _ => Ok(ClassifyEntry::by_type(kind, value, model.target)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
