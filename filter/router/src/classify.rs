//! What to ask the Topology Service and how to read its answer (protojson over REST); no transport.

mod outcome;

use std::rc::Rc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::config::{ClaimModel, ClassifyType, RegistryDesign, Target};
use crate::variables::{Template, Variables};
pub use outcome::CallOutcome;
pub(crate) use outcome::Failure;

/// Where every question is POSTed.
pub const CLASSIFY_PATH: &str = "/v1/classify";

/// Longest value worth asking about, GitLab's bound of a full path; it also bounds the cache's keys.
const MAX_VALUE: usize = 255;

/// A value the Topology Service would look up: its field on the wire, and the text.
#[derive(Debug)]
struct Claim {
    key: &'static str,
    value: Template,
}

/// What one entry of a rule's `classify` asks, still with variables.
#[derive(Debug)]
pub(crate) struct Classification {
    subject: Subject,
    pub(crate) target: Target,
}

#[derive(Debug)]
enum Subject {
    Type(ClassifyType, Option<Template>),
    Claims(Vec<Claim>),
}

#[derive(Serialize)]
struct ClassifyRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<ClassifyType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    claims: &'a [AskedClaim],
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
}

/// An object with one field.
struct AskedClaim {
    key: &'static str,
    text: String,
}

impl Serialize for AskedClaim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.key, &self.text)])
    }
}

impl Classification {
    pub(crate) fn by_type(kind: ClassifyType, value: Option<Template>, target: Target) -> Self {
        Self { subject: Subject::Type(kind, value), target }
    }

    pub(crate) fn by_claims(claims: Vec<(&'static str, Template)>, target: Target) -> Self {
        let claims = claims.into_iter().map(|(key, value)| Claim { key, value }).collect();
        Self { subject: Subject::Claims(claims), target }
    }

    /// `x-gitlab-http-router-rule-type`, unless the answer says which claim matched.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.subject {
            Subject::Type(kind, _) => kind.as_str(),
            Subject::Claims(claims) => claims.first().map_or("", |claim| claim.key),
        }
    }

    /// The bodies to POST, one for each item of a list; empty if there is nothing to ask.
    pub(crate) fn questions(
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
            Subject::Type(kind, Some(value)) => askable(kind.as_str(), value, variables)
                .map(|value| body(Some(*kind), Some(&value), &[], target))
                .collect(),
            Subject::Claims(claims) => claim_chains(claims, variables, reserved)
                .into_iter()
                .map(|chain| body(None, None, &chain, target))
                .collect(),
        }
    }
}

/// What is worth asking: the service would refuse anything else, which reads as unavailable.
fn askable(key: &str, value: &Template, variables: &Variables) -> impl Iterator<Item = String> {
    let numeric = key == "CELL_ID" || key.ends_with("Id");
    let valid = move |text: &String| text.len() <= MAX_VALUE && (!numeric || is_id(text));
    value.expand(variables).into_iter().filter(valid)
}

/// An int64 that names something.
fn is_id(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

/// The n-th chain takes the n-th text of each claim; a claim with a single text is in all chains.
fn claim_chains(
    claims: &[Claim],
    variables: &Variables,
    reserved: &[String],
) -> Vec<Vec<AskedClaim>> {
    let is_reserved = |key, text: &String| is_route(key) && reserved.contains(text);
    let expanded: Vec<(_, Vec<_>)> = claims
        .iter()
        .map(|Claim { key, value }| {
            (*key, askable(key, value, variables).filter(|text| !is_reserved(key, text)).collect())
        })
        .collect();
    let length = expanded.iter().map(|(_, texts)| texts.len()).max().unwrap_or_default();
    (0..length)
        .map(|n| {
            let nth = |texts: &[String]| texts.get(if texts.len() == 1 { 0 } else { n }).cloned();
            let claims = expanded.iter().filter_map(|(key, texts)| Some((*key, nth(texts)?)));
            claims.map(|(key, text)| AskedClaim { key, text }).collect()
        })
        .collect()
}

fn is_route(key: &str) -> bool {
    matches!(key, "route" | "redirectRoute")
}

fn body(
    kind: Option<ClassifyType>,
    value: Option<&str>,
    claims: &[AskedClaim],
    target: Option<&'static str>,
) -> String {
    let request = ClassifyRequest { r#type: kind, value, claims, target };
    serde_json::to_string(&request).unwrap_or_default()
}

/// A claim's name on the wire and its template, as written.
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

/// What came back for one question: an HTTP answer of any status, or none.
pub type CallResult = Result<HttpAnswer, CallError>;

/// The parts of an HTTP answer the router reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The `cache-control` header, if any.
    pub cache_control: Option<Vec<u8>>,
    /// The `retry-after` header, if any.
    pub retry_after: Option<Vec<u8>>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// None came in time.
    Timeout,
    /// The connection failed or broke.
    Transport,
    /// The host refused to send the call.
    Dispatch,
}

/// A Cell as the Topology Service describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    address: String,
    registry_address: Option<String>,
    /// The key of the claim that matched, as `redirectRoute`.
    pub(crate) matched_claim: Option<String>,
}

impl Cell {
    /// Whether all of it may become a header's value.
    pub(crate) fn is_valid(&self) -> bool {
        is_address(&self.address)
            && self.registry_address.as_deref().is_none_or(is_address)
            && self.matched_claim.as_deref().is_none_or(is_claim_key)
    }

    /// The address for `target`; a Cell may have no registry.
    pub(crate) fn address(&self, target: Target, design: RegistryDesign) -> Option<&str> {
        match (design, target) {
            (RegistryDesign::Answer, Target::Registry) => self.registry_address.as_deref(),
            (RegistryDesign::Request, _) | (_, Target::Web) => Some(&self.address),
        }
    }
}

/// A definite answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Rc<Cell>),
    NotFound,
}

/// Fields are not denied here: the Topology Service may say more than this reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassifyResponse {
    action: String,
    proxy: ProxyInfo,
    #[serde(default, alias = "matched_claim")]
    matched_claim: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyInfo {
    address: String,
    #[serde(default, alias = "registry_address")]
    registry_address: Option<String>,
}

/// The service's own 404 is "not found"; whatever is neither that nor a well-formed PROXY answer is
/// a failure, of which neither "found" nor "not found" may be concluded.
pub(crate) fn read(result: &CallResult) -> Result<Answer, Failure> {
    let answer = result.as_ref().map_err(|error| Failure::Call(*error))?;
    match answer.status {
        404 if is_not_found(&answer.body) => Ok(Answer::NotFound),
        200 => found(&answer.body).map(|cell| Answer::Found(Rc::new(cell))).ok_or(Failure::Garbage),
        404 => Err(Failure::Garbage),
        status => Err(Failure::Status(status)),
    }
}

/// A 404 of something in between, which knows nothing of Cells, must not send a request to the
/// first Cell. Five is gRPC's NOT_FOUND.
fn is_not_found(body: &[u8]) -> bool {
    let status: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    status.is_some_and(|status| status.get("code").is_none_or(|code| *code == 5))
}

fn found(body: &[u8]) -> Option<Cell> {
    let response: ClassifyResponse = serde_json::from_slice(body).ok()?;
    let registry = response.proxy.registry_address.filter(|address| !address.is_empty());
    let key = response.matched_claim.and_then(|claim| Some(claim.into_iter().next()?.0));
    let cell = Cell {
        address: response.proxy.address,
        registry_address: registry,
        matched_claim: key.filter(|key| is_claim_key(key)),
    };
    (response.action == "PROXY" && cell.is_valid()).then_some(cell)
}

fn is_claim_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An address becomes a header's value and a cluster's name.
pub(crate) fn is_address(text: &str) -> bool {
    (1..=MAX_VALUE).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}

#[cfg(test)]
mod tests;
