//! A ruleset as written: match, transform, validate, then classify or proxy.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigError, OneOrMany};

/// A ruleset file: rules are tried in order, the first that decides wins.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Ruleset"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulesetModel {
    /// Where editors find the schema; read by nobody else.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// What the ruleset routes, for its reader.
    #[serde(default)]
    pub description: String,
    /// First path segments that are the application's own and name no namespace: a `route` or
    /// `redirectRoute` claim of one is never asked.
    #[serde(default)]
    pub reserved_routes: Vec<String>,
    /// The rules; the last must be unconditional.
    // Read one by one, so that an error names its rule.
    #[serde(deserialize_with = "super::unique::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RuleModel>", length(min = 1, max = 200)))]
    pub rules: Vec<Value>,
}

impl RulesetModel {
    /// Reads the rules.
    ///
    /// # Errors
    /// [`ConfigError::Rule`] naming the first rule and field at fault.
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

/// The field a problem is of: serde says where one is missing, and its name in the text alone.
fn at_field(place: &str, problem: String) -> (String, String) {
    let missing = problem.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = match (missing, place) {
        (Some(name), ".") => name.to_owned(),
        (Some(name), place) => format!("{place}.{name}"),
        (None, place) => place.to_owned(),
    };
    (field, problem)
}

/// The first key in snake_case, as GitLab's early rulesets had them: its field, and what to write.
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
            Some(camel) => Some((key.clone(), format!("keys are in camel case: write `{camel}`"))),
            None => within(key.clone(), value),
        }),
        _ => None,
    }
}

/// A key in camel case, if it is not yet.
fn camel_case(key: &str) -> Option<String> {
    let (first, rest) = key.split_once('_')?;
    let capitalized = rest.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    Some(first.chars().chain(capitalized.collect::<String>().chars()).collect())
}

/// One rule: match, transform, validate, then classify or proxy.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Rule"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleModel {
    /// Unique; `0-9A-Za-z_.-`, for it may stand in a response header.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9A-Za-z_.-]+$")))]
    pub id: String,
    /// Why the rule is there, for its reader.
    #[serde(default)]
    pub description: String,
    /// All must hold; none always holds.
    #[serde(default)]
    pub r#match: OneOrMany<MatchModel>,
    /// Steps that turn captures into variables, in order.
    #[serde(default)]
    pub transform: OneOrMany<TransformModel>,
    /// What must be there for the rule to apply.
    #[serde(default)]
    pub validate: Option<ValidateModel>,
    /// What the rule does.
    pub action: ActionModel,
    /// For `classify`: what to ask, in order, until a Cell is found.
    #[serde(default)]
    pub classify: OneOrMany<ClassifyModel>,
    /// For `proxy`: where to, unless the filter's `proxyAddress` says.
    #[serde(default)]
    pub proxy: Option<ProxyModel>,
    /// Templates of the key by which a Cell's origins share the work; the first that exists counts.
    #[serde(default)]
    pub hash_key: OneOrMany<String>,
    /// Template of the path the Cell sees; the query stays.
    #[serde(default)]
    pub rewrite_path: Option<String>,
    /// What to do when the Topology Service cannot say and no good answer is left.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
}

/// A condition. Every `regexValue` must match the whole text; its named captures are variables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Match"))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum MatchModel {
    /// The path without its query.
    Path {
        /// Regular expression.
        regex_value: String,
    },
    /// The authority: host and, if given, port.
    Host {
        /// Regular expression.
        regex_value: String,
    },
    /// The method.
    Method {
        /// Any of these, upper case.
        values: OneOrMany<String>,
    },
    /// A request header.
    Header {
        /// Its name, in any case.
        name: String,
        /// Regular expression; without it the header need only be there.
        #[serde(default)]
        regex_value: Option<String>,
    },
    /// A query parameter, decoded.
    Query {
        /// Its name.
        name: String,
        /// Regular expression; without it the parameter need only be there.
        #[serde(default)]
        regex_value: Option<String>,
    },
    /// A cookie.
    Cookie {
        /// Regular expression of the name.
        regex_name: String,
        /// Regular expression of the value.
        regex_value: String,
    },
}

/// A step from text to variables; one that cannot read its input sets nothing.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Transform"))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum TransformModel {
    /// Fields `c g o p t u`, ids in decimal, of a routable token.
    RoutableTokenPayload {
        /// The whole token, whose checksum is verified; or payload and length as captured.
        input: OneOrMany<String>,
        /// The variable.
        output: String,
    },
    /// The same fields of a JWT's payload segment, where they are base36 strings.
    RoutableJson {
        /// The payload segment.
        input: String,
        /// The variable.
        output: String,
    },
    /// All claims of a JWT, signature unseen; `${output.list.field}` reads a field of each item.
    JwtClaims {
        /// The whole JWT.
        input: String,
        /// The variable.
        output: String,
    },
    /// Standard base64, then a match whose named captures are the variables.
    DecodeBase64Match {
        /// The base64 text.
        input: String,
        /// Regular expression.
        regex_value: String,
    },
    /// `${output.namespace}`: the top-level namespaces that decide a `/jwt/auth` request.
    RegistryScopes {
        /// The variable.
        output: String,
    },
}

/// Conditions on variables.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Validate"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidateModel {
    /// Templates that must yield a text.
    pub exist: Vec<String>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Action"))]
#[serde(rename_all = "camelCase")]
pub enum ActionModel {
    /// Ask the Topology Service.
    Classify,
    /// Go to a fixed address.
    Proxy,
}

/// A fixed way.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Proxy"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyModel {
    /// The Cell's address, which is the name of Envoy's cluster.
    pub address: String,
}

/// One question: either `type` (and `value`) or `claims`. Where a template is a list, each item is
/// asked, and all must name the same Cell.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Classify"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClassifyModel {
    /// The kind of `value`.
    #[serde(default)]
    pub r#type: Option<ClassifyType>,
    /// Template; for every type but `FIRST_CELL`.
    #[serde(default)]
    pub value: Option<String>,
    /// Claims the Topology Service tries in order; values are templates.
    #[serde(default)]
    pub claims: Vec<ClaimModel>,
    /// Which of the Cell's addresses to use.
    #[serde(default)]
    pub target: Target,
}

/// `ClassifyType` of GitLab's Topology Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClassifyType {
    /// The Cell that serves what belongs to no other.
    FirstCell,
    /// By the prefix of a session cookie.
    SessionPrefix,
    /// By the Cell's number, in decimal.
    CellId,
}

impl ClassifyType {
    /// The name on the wire and in `x-gitlab-http-router-rule-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstCell => "FIRST_CELL",
            Self::SessionPrefix => "SESSION_PREFIX",
            Self::CellId => "CELL_ID",
        }
    }
}

/// `types.v1.Claim` of GitLab's Topology Service, those a request can carry; numbers are strings,
/// as protojson wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Claim"))]
#[serde(rename_all = "camelCase")]
pub enum ClaimModel {
    /// A top-level path segment.
    Route(String),
    /// A top-level path segment that was renamed.
    RedirectRoute(String),
    /// An organization's path.
    OrganizationPath(String),
    /// An organization's id.
    OrganizationId(String),
    /// A namespace's id.
    NamespaceId(String),
    /// A project's id.
    ProjectId(String),
    /// A user's id.
    UserId(String),
    /// A user's name.
    Username(String),
}

impl ClaimModel {
    /// The template, whichever claim it is.
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

/// Which of a Cell's addresses.
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
    /// As it is written in a ruleset.
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
    /// Answer 503: a failure is no "not found".
    #[default]
    Reject,
    /// Try the next question, then the next rule.
    Next,
}
