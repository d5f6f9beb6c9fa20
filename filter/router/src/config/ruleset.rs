//! The model of a ruleset: rules of match, transform, validate, and classify or proxy.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ConfigError;
use super::one_or_many::OneOrMany;

/// A ruleset. Rules are tried in order until one decides.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Ruleset"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulesetModel {
    /// The schema, for editors.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// What the ruleset routes; for the reader.
    #[serde(default)]
    pub description: String,
    /// First path segments that belong to the application and cannot be namespaces. They are never
    /// classified as a `route` or `redirectRoute` claim.
    #[serde(default)]
    pub reserved_routes: Vec<String>,
    /// The rules; the last must be unconditional.
    // Parsed one by one, so that an error names its rule.
    #[serde(deserialize_with = "super::unique::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RuleModel>", length(min = 1, max = 200)))]
    pub rules: Vec<Value>,
}

impl RulesetModel {
    /// Parses the rules.
    ///
    /// # Errors
    /// [`ConfigError::Rule`] names the first invalid rule and field.
    pub fn read_rules(&self) -> Result<Vec<RuleModel>, ConfigError> {
        self.rules.iter().enumerate().map(|(index, rule)| read_rule(index, rule)).collect()
    }
}

fn read_rule(index: usize, rule: &Value) -> Result<RuleModel, ConfigError> {
    let read = match snake_case(rule) {
        Some((field, problem)) => Err((field, problem)),
        None => serde_path_to_error::deserialize(rule)
            .map_err(|error| at_field(&error.path().to_string(), error.inner().to_string())),
    };
    read.map_err(|(field, problem)| {
        let id = rule.get("id").and_then(Value::as_str).map(str::to_owned);
        ConfigError::Rule { rule: id.unwrap_or_else(|| format!("#{}", index + 1)), field, problem }
    })
}

/// Returns the field of an error. For a missing field serde reports the parent as the path, and the
/// field only in the message.
fn at_field(place: &str, problem: String) -> (String, String) {
    let missing = problem.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = match (missing, place) {
        (Some(name), ".") => name.to_owned(),
        (Some(name), place) => format!("{place}.{name}"),
        (None, place) => place.to_owned(),
    };
    (field, problem)
}

/// Returns the first key in snake case, which GitLab's early rulesets used, and the error for it.
fn snake_case(value: &Value) -> Option<(String, String)> {
    let within = |place: String, value: &Value| {
        let (field, problem) = snake_case(value)?;
        let dot = if field.starts_with('[') { "" } else { "." };
        Some((format!("{place}{dot}{field}"), problem))
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| within(format!("[{n}]"), item))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match camel_case(key) {
            Some(camel) => {
                Some((key.clone(), format!("keys must be in camel case: write `{camel}`")))
            }
            None => within(key.clone(), value),
        }),
        _ => None,
    }
}

/// Returns the key in camel case if it is in snake case.
fn camel_case(key: &str) -> Option<String> {
    let (first, rest) = key.split_once('_')?;
    let capitalized = rest.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    Some(first.chars().chain(capitalized.collect::<String>().chars()).collect())
}

/// A rule: match, transform, validate, and classify or proxy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Rule"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleModel {
    /// A unique id of `0-9A-Za-z_.-`; it may be sent in a response header.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9A-Za-z_.-]+$")))]
    pub id: String,
    /// The purpose of the rule; for the reader.
    #[serde(default)]
    pub description: String,
    /// The conditions, all of which must hold. Without any, the rule always matches.
    #[serde(default)]
    pub r#match: OneOrMany<MatchModel>,
    /// The steps that turn captures into variables, in order.
    #[serde(default)]
    pub transform: OneOrMany<TransformModel>,
    /// The variables that the rule requires.
    #[serde(default)]
    pub validate: Option<ValidateModel>,
    /// What the rule does with a request that matches.
    pub action: ActionModel,
    /// For `classify`: the queries, made in order until a Cell is found.
    #[serde(default)]
    pub classify: OneOrMany<ClassifyModel>,
    /// For `proxy`: the address; by default the filter's `proxyAddress`.
    #[serde(default)]
    pub proxy: Option<ProxyModel>,
    /// Templates of the key that selects one of a Cell's origins; the first that exists is used.
    #[serde(default)]
    pub hash_key: OneOrMany<String>,
    /// Template of the path that replaces the client's; the query is kept.
    #[serde(default)]
    pub rewrite_path: Option<String>,
    /// What to do if the Topology Service is unavailable and there is no last good response.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
}

/// A condition. Each regular expression must match the whole text; its named captures are variables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Match"))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum MatchModel {
    /// The path without the query.
    Path {
        /// Regular expression.
        regex_value: String,
    },
    /// The authority: the host and, if present, the port.
    Host {
        /// Regular expression.
        regex_value: String,
    },
    /// The method.
    Method {
        /// The allowed methods, in upper case.
        values: OneOrMany<String>,
    },
    /// A request header.
    Header {
        /// The name, in any case.
        name: String,
        /// Regular expression; without it, the header must only exist.
        #[serde(default)]
        regex_value: Option<String>,
    },
    /// A query parameter, decoded.
    Query {
        /// The name.
        name: String,
        /// Regular expression; without it, the parameter must only exist.
        #[serde(default)]
        regex_value: Option<String>,
    },
    /// A cookie.
    Cookie {
        /// Regular expression for the name.
        regex_name: String,
        /// Regular expression for the value.
        regex_value: String,
    },
}

/// A step that turns text into variables. It sets none if its input is missing or malformed.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Transform"))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum TransformModel {
    /// Decodes a routable token into the fields `c g o p t u`, with ids in decimal.
    RoutableTokenPayload {
        /// The whole token, whose checksum is verified; or the captured payload and length.
        input: OneOrMany<String>,
        /// The name of the variable.
        output: String,
    },
    /// Decodes the same fields from a JWT's payload segment, where they are base36 strings.
    RoutableJson {
        /// The payload segment.
        input: String,
        /// The name of the variable.
        output: String,
    },
    /// Decodes the claims of a JWT without verifying it; `${output.list.field}` is a field of each
    /// item of a list.
    JwtClaims {
        /// The whole JWT.
        input: String,
        /// The name of the variable.
        output: String,
    },
    /// Decodes standard base64 and matches the result; the named captures are the variables.
    DecodeBase64Match {
        /// The base64 text.
        input: String,
        /// Regular expression.
        regex_value: String,
    },
    /// Sets `${output.namespace}` to the top-level namespaces that determine the Cell of a `/jwt/auth`
    /// request.
    RegistryScopes {
        /// The name of the variable.
        output: String,
    },
}

/// Conditions on variables.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Validate"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidateModel {
    /// Templates that must have a text.
    pub exist: Vec<String>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Action"))]
#[serde(rename_all = "camelCase")]
pub enum ActionModel {
    /// Classify the request through the Topology Service.
    Classify,
    /// Route to a fixed address.
    Proxy,
}

/// A fixed address.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Proxy"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyModel {
    /// The address of the Cell, which is the name of Envoy's cluster.
    pub address: String,
}

/// A query: either `type` (and `value`) or `claims`. If a template is a list, each item is classified,
/// and all must belong to the same Cell.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Classify"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClassifyModel {
    /// The kind of `value`.
    #[serde(default)]
    pub r#type: Option<ClassifyType>,
    /// Template; required for every type except `FIRST_CELL`.
    #[serde(default)]
    pub value: Option<String>,
    /// The claims that the Topology Service tries in order; values are templates.
    #[serde(default)]
    pub claims: Vec<ClaimModel>,
    /// Which of the Cell's addresses is used.
    #[serde(default)]
    pub target: Target,
}

/// `ClassifyType` of GitLab's Topology Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClassifyType {
    /// The Cell for requests that no other Cell owns.
    FirstCell,
    /// The Cell with this session cookie prefix.
    SessionPrefix,
    /// The Cell with this decimal id.
    CellId,
}

impl ClassifyType {
    /// Returns the name on the wire and in `x-gitlab-http-router-rule-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstCell => "FIRST_CELL",
            Self::SessionPrefix => "SESSION_PREFIX",
            Self::CellId => "CELL_ID",
        }
    }
}

/// The claims of `types.v1.Claim` of GitLab's Topology Service that a request can carry. Numbers are
/// strings, as protojson requires.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Claim"))]
#[serde(rename_all = "camelCase")]
pub enum ClaimModel {
    /// A top-level path segment.
    Route(String),
    /// The previous name of a top-level path segment.
    RedirectRoute(String),
    /// The path of an organization.
    OrganizationPath(String),
    /// The id of an organization.
    OrganizationId(String),
    /// The id of a namespace.
    NamespaceId(String),
    /// The id of a project.
    ProjectId(String),
    /// The id of a user.
    UserId(String),
    /// The name of a user.
    Username(String),
}

impl ClaimModel {
    /// Returns the template.
    #[must_use]
    pub fn value(&self) -> &String {
        match self {
            Self::Route(value)
            | Self::RedirectRoute(value)
            | Self::OrganizationPath(value)
            | Self::OrganizationId(value)
            | Self::NamespaceId(value)
            | Self::ProjectId(value)
            | Self::UserId(value)
            | Self::Username(value) => value,
        }
    }
}

/// One of a Cell's addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// `proxy.address`: web, API, `/jwt/auth`, the dependency proxy.
    #[default]
    Web,
    /// The container registry.
    Registry,
}

impl Target {
    /// Returns the name used in rulesets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Registry => "registry",
        }
    }
}

/// What a rule does when the Topology Service is unavailable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum OnUnavailable {
    /// Respond with 503: an unavailable service does not mean "not found".
    #[default]
    Reject,
    /// Try the next query, then the next rule.
    Next,
}
