//! The classify requests of a rule.

use serde::{Serialize, Serializer};

use crate::config::{ClaimModel, ClassifyType, RegistryDesign, Target};
use crate::rules::variables::{Template, Variables};

/// The longest value that is sent, in bytes: GitLab's limit of a full path. It also bounds the
/// cache's keys.
const MAX_VALUE: usize = 255;

/// One entry of a rule's `classify`, with variables.
#[derive(Debug)]
pub(crate) struct ClassifyEntry {
    subject: Subject,
    pub(crate) target: Target,
}

#[derive(Debug)]
enum Subject {
    Type(ClassifyType, Option<Template>),
    Claims(Vec<ClaimTemplate>),
}

/// A claim's field on the wire, and the template of its value.
#[derive(Debug)]
struct ClaimTemplate {
    key: &'static str,
    value: Template,
}

#[derive(Serialize)]
struct ClassifyRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<ClassifyType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    claims: &'a [Claim],
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
}

/// A claim on the wire: an object with one field.
struct Claim {
    key: &'static str,
    value: String,
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.key, &self.value)])
    }
}

impl ClassifyEntry {
    pub(crate) fn by_type(kind: ClassifyType, value: Option<Template>, target: Target) -> Self {
        Self { subject: Subject::Type(kind, value), target }
    }

    pub(crate) fn by_claims(claims: Vec<(&'static str, Template)>, target: Target) -> Self {
        let claims = claims.into_iter().map(|(key, value)| ClaimTemplate { key, value }).collect();
        Self { subject: Subject::Claims(claims), target }
    }

    /// Returns the value of `x-gitlab-http-router-rule-type` for responses that do not name the
    /// matched claim.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.subject {
            Subject::Type(kind, _) => kind.as_str(),
            Subject::Claims(claims) => claims.first().map_or("", |claim| claim.key),
        }
    }

    /// Returns the queries of this entry, that is, the bodies of its classify requests: one for each
    /// item of a list, and none if a value is missing or cannot be classified.
    pub(crate) fn queries(
        &self,
        variables: &Variables,
        reserved: &[String],
        design: RegistryDesign,
    ) -> Vec<String> {
        let target = match (design, self.target) {
            (RegistryDesign::Request, Target::Web) => Some("WEB"),
            (RegistryDesign::Request, Target::Registry) => Some("REGISTRY"),
            (RegistryDesign::Answer, _) => None,
        };
        match &self.subject {
            Subject::Type(kind, None) => vec![body(Some(*kind), None, &[], target)],
            Subject::Type(kind, Some(value)) => valid_values(kind.as_str(), value, variables)
                .map(|value| body(Some(*kind), Some(&value), &[], target))
                .collect(),
            Subject::Claims(claims) => claim_chains(claims, variables, reserved)
                .into_iter()
                .map(|chain| body(None, None, &chain, target))
                .collect(),
        }
    }
}

/// Returns the values that the service accepts. It rejects all others, and a rejected request would
/// be treated as an outage.
fn valid_values(
    key: &str,
    value: &Template,
    variables: &Variables,
) -> impl Iterator<Item = String> {
    let numeric = key == "CELL_ID" || key.ends_with("Id");
    let valid = move |text: &String| text.len() <= MAX_VALUE && (!numeric || is_id(text));
    value.expand(variables).into_iter().filter(valid)
}

/// Returns whether `text` is a non-negative int64.
fn is_id(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

/// Returns chains of claims, each of which is one request. The n-th chain has the n-th value of each
/// claim; a claim with a single value is in all chains.
fn claim_chains(
    claims: &[ClaimTemplate],
    variables: &Variables,
    reserved: &[String],
) -> Vec<Vec<Claim>> {
    let is_reserved = |key, value: &String| is_route(key) && reserved.contains(value);
    let expanded: Vec<(_, Vec<_>)> = claims
        .iter()
        .map(|ClaimTemplate { key, value }| {
            let values = valid_values(key, value, variables);
            (*key, values.filter(|value| !is_reserved(key, value)).collect())
        })
        .collect();
    let length = expanded.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
    (0..length)
        .map(|n| {
            let nth =
                |values: &[String]| values.get(if values.len() == 1 { 0 } else { n }).cloned();
            let claims = expanded.iter().filter_map(|(key, values)| Some((*key, nth(values)?)));
            claims.map(|(key, value)| Claim { key, value }).collect()
        })
        .collect()
}

fn is_route(key: &str) -> bool {
    matches!(key, "route" | "redirectRoute")
}

fn body(
    kind: Option<ClassifyType>,
    value: Option<&str>,
    claims: &[Claim],
    target: Option<&'static str>,
) -> String {
    let request = ClassifyRequest { r#type: kind, value, claims, target };
    serde_json::to_string(&request).unwrap_or_default()
}

/// Returns a claim's field on the wire and its template, as written.
pub(crate) fn claim_parts(claim: ClaimModel) -> (&'static str, String) {
    match claim {
        ClaimModel::Route(value) => ("route", value),
        ClaimModel::RedirectRoute(value) => ("redirectRoute", value),
        ClaimModel::OrganizationPath(value) => ("organizationPath", value),
        ClaimModel::OrganizationId(value) => ("organizationId", value),
        ClaimModel::NamespaceId(value) => ("namespaceId", value),
        ClaimModel::ProjectId(value) => ("projectId", value),
        ClaimModel::UserId(value) => ("userId", value),
        ClaimModel::Username(value) => ("username", value),
    }
}
