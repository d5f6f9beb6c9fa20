//! From the model to rules; every mistake that can be seen before a request comes is refused here.

mod values;

use super::names::{Names, Shape};
use super::rewrite::RewritePath;
use super::{Action, Rule};
use crate::classify::{Classification, claim_parts, is_address};
use crate::config::{
    ActionModel, ClassifyModel, ClassifyType, ConfigError, MatchModel, RuleModel, TransformModel,
};
use crate::matcher::Matcher;
use crate::pattern::Pattern;
use crate::transform::Transform;

/// Rules of a ruleset, ten times GitLab's.
const MAX_RULES: usize = 200;

/// Regular expressions of a ruleset; each may take 128 KiB.
const MAX_EXPRESSIONS: usize = 300;

/// Items of any list in a rule.
const MAX_ITEMS: usize = 16;

/// A field of the rule being compiled, and what is wrong with it.
struct Fault {
    field: String,
    problem: String,
}

type Checked<T> = Result<T, Fault>;

fn fault(field: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault { field: field.into(), problem: problem.into() }
}

/// Names the field of what failed.
trait At<T> {
    fn at(self, field: &str) -> Checked<T>;
}

impl<T, E: ToString> At<T> for Result<T, E> {
    fn at(self, field: &str) -> Checked<T> {
        self.map_err(|error| fault(field, error.to_string()))
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
        return Err(ConfigError::Value { field: "rules", problem: "more than 200 rules" });
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut expressions = 0;
    for model in models {
        let id = model.id.clone();
        expressions += count_expressions(&model);
        let few = (expressions <= MAX_EXPRESSIONS).then_some(());
        let few = few.ok_or_else(|| fault("match", "the ruleset has more than 300 expressions"));
        let checked = few.and_then(|()| follows(&rules, &id));
        let checked = checked.and_then(|()| rule(model, proxy_address));
        rules.push(checked.map_err(|Fault { field, problem }| ConfigError::Rule {
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
            problem: "the last rule must be unconditional: no match, transform or validate".into(),
        }),
        None => Err(ConfigError::Value { field: "rules", problem: "a ruleset needs a rule" }),
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

/// Whether a rule `id` may stand after `earlier` ones.
fn follows(earlier: &[Rule], id: &str) -> Checked<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if id.is_empty() || !id.bytes().all(plain) {
        return Err(fault("id", "an id is of 0-9A-Za-z_.- and not empty"));
    }
    if earlier.iter().any(|rule| rule.id == id) {
        return Err(fault("id", "another rule has this id"));
    }
    match earlier.last() {
        Some(last) if last.is_unconditional() => {
            Err(fault("id", format!("unreachable: rule `{}` before it is unconditional", last.id)))
        }
        _ => Ok(()),
    }
}

fn rule(model: RuleModel, proxy_address: Option<&str>) -> Checked<Rule> {
    let mut names = Names::default();
    let action = action(&model, proxy_address)?;
    let matchers = each("match", model.r#match.0, |field, m| matcher(field, m, &mut names))?;
    let transforms =
        each("transform", model.transform.0, |field, t| transform(field, t, &mut names))?;
    let template = |field: &str, text: String| names.template(&text).at(field);
    let exist = model.validate.map(|validate| validate.exist);
    exist.as_deref().map_or(Ok(()), values::exist).at("validate.exist")?;
    let rewrite_path = model.rewrite_path.map(|path| RewritePath::compile(&path, &names));
    let rewrite_path = rewrite_path.transpose().at("rewritePath")?;
    Ok(Rule {
        id: model.id,
        matchers,
        transforms,
        exist: each("validate.exist", exist.unwrap_or_default(), template)?,
        action: match action {
            Some(address) => Action::Proxy(address),
            None => Action::Classify(each("classify", model.classify.0, |field, entry| {
                classification(field, entry, &names)
            })?),
        },
        hash_key: each("hashKey", model.hash_key.0, template)?,
        rewrite_path,
        on_unavailable: model.on_unavailable,
    })
}

/// Compiles a list, naming each item's field.
fn each<M, T>(
    field: &str,
    models: Vec<M>,
    mut compile: impl FnMut(&str, M) -> Checked<T>,
) -> Checked<Vec<T>> {
    if models.len() > MAX_ITEMS {
        return Err(fault(field, format!("more than {MAX_ITEMS} items")));
    }
    let models = models.into_iter().enumerate();
    models.map(|(index, model)| compile(&format!("{field}[{index}]"), model)).collect()
}

/// The fixed address of a `proxy` rule; none for `classify`.
fn action(model: &RuleModel, proxy_address: Option<&str>) -> Checked<Option<String>> {
    match model.action {
        ActionModel::Classify if model.classify.0.is_empty() => {
            Err(fault("classify", "action `classify` needs what to ask"))
        }
        ActionModel::Classify if model.proxy.is_some() => {
            Err(fault("proxy", "action `classify` takes no `proxy`"))
        }
        ActionModel::Classify => Ok(None),
        ActionModel::Proxy if !model.classify.0.is_empty() => {
            Err(fault("classify", "action `proxy` takes no `classify`"))
        }
        ActionModel::Proxy => {
            let own = model.proxy.as_ref().map(|proxy| proxy.address.as_str());
            let missing = "neither the rule nor the filter's `proxyAddress` names a Cell";
            let address = own.or(proxy_address).ok_or_else(|| fault("proxy", missing))?;
            let valid = is_address(address).then(|| address.to_owned());
            valid.map(Some).ok_or_else(|| fault("proxy.address", "not a Cell's address"))
        }
    }
}

fn pattern(field: &str, key: &str, text: &str, names: &mut Names) -> Checked<Pattern> {
    let field = format!("{field}.{key}");
    let pattern = Pattern::compile(text).at(&field)?;
    for name in pattern.names() {
        names.define(name, Shape::Text).at(&field)?;
    }
    Ok(pattern)
}

fn matcher(field: &str, model: MatchModel, names: &mut Names) -> Checked<Matcher> {
    let mut value = |text: &str| pattern(field, "regexValue", text, names);
    Ok(match model {
        MatchModel::Path { regex_value } => Matcher::Path(value(&regex_value)?),
        MatchModel::Host { regex_value } => Matcher::Host(value(&regex_value)?),
        MatchModel::Method { values: methods } => {
            values::methods(&methods.0).at(&format!("{field}.values"))?;
            Matcher::Method(methods.0)
        }
        MatchModel::Header { name, regex_value } => {
            values::header_name(&name).at(&format!("{field}.name"))?;
            let pattern = regex_value.map(|text| value(&text)).transpose()?;
            Matcher::Header(name.to_ascii_lowercase(), pattern)
        }
        MatchModel::Query { name, regex_value } => {
            values::parameter_name(&name).at(&format!("{field}.name"))?;
            Matcher::Query(name, regex_value.map(|text| value(&text)).transpose()?)
        }
        MatchModel::Cookie { regex_name, regex_value } => {
            let value = value(&regex_value)?;
            Matcher::Cookie { name: pattern(field, "regexName", &regex_name, names)?, value }
        }
    })
}

fn transform(field: &str, model: TransformModel, names: &mut Names) -> Checked<Transform> {
    let input_field = format!("{field}.input");
    let input = |text: &str, names: &Names| names.template(text).at(&input_field);
    let (transform, output, shape) = match model {
        TransformModel::RoutableTokenPayload { input: texts, output } => {
            (routable(&input_field, &texts.0, &output, names)?, output, Shape::Routing)
        }
        TransformModel::RoutableJson { input: text, output } => {
            let payload = input(&text, names)?;
            (Transform::RoutableJson { payload, output: output.clone() }, output, Shape::Routing)
        }
        TransformModel::JwtClaims { input: text, output } => {
            let token = input(&text, names)?;
            (Transform::JwtClaims { token, output: output.clone() }, output, Shape::Claims)
        }
        TransformModel::RegistryScopes { output } => {
            (Transform::RegistryScopes { output: output.clone() }, output, Shape::Scopes)
        }
        TransformModel::DecodeBase64Match { input: text, regex_value } => {
            let input = input(&text, names)?;
            let pattern = pattern(field, "regexValue", &regex_value, names)?;
            return Ok(Transform::DecodeBase64Match { input, pattern });
        }
    };
    names.define(&output, shape).at(&format!("{field}.output"))?;
    Ok(transform)
}

fn routable(field: &str, texts: &[String], output: &str, names: &Names) -> Checked<Transform> {
    let template = |text: &String| names.template(text).at(field);
    let output = output.to_owned();
    match texts {
        [token] => Ok(Transform::RoutableToken { token: template(token)?, output }),
        [payload, length] => Ok(Transform::RoutablePayload {
            payload: template(payload)?,
            length: template(length)?,
            output,
        }),
        _ => Err(fault(field, "give the whole token, or its payload and length")),
    }
}

fn classification(field: &str, model: ClassifyModel, names: &Names) -> Checked<Classification> {
    let value_field = format!("{field}.value");
    match (model.r#type, model.claims.is_empty()) {
        (Some(_), false) => Err(fault(field, "`type` and `claims` exclude each other")),
        (None, true) => Err(fault(field, "`type` or `claims` must say what to ask")),
        (None, false) if model.value.is_some() => {
            Err(fault(value_field, "`claims` have their own values"))
        }
        (None, false) => {
            let claims = each(&format!("{field}.claims"), model.claims, |field, claim| {
                let (key, value) = claim_parts(claim);
                Ok((key, names.template(&value).at(&format!("{field}.{key}"))?))
            })?;
            Ok(Classification::by_claims(claims, model.target))
        }
        (Some(kind), true) => {
            let value =
                model.value.map(|text| names.template(&text).at(&value_field)).transpose()?;
            match (kind == ClassifyType::FirstCell, value.is_some()) {
                (true, true) => Err(fault(value_field, "FIRST_CELL takes no value")),
                (false, false) => Err(fault(value_field, "this type needs a value")),
                _ => Ok(Classification::by_type(kind, value, model.target)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
