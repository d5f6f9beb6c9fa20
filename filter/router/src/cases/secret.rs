//! Credentials in a readable form, from which the bytes that a client sends are derived.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gitlab::{RoutableToken, Routing};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A header's value or a password: a text, `{"prefix", "cell", "organization", "user"}` for a
/// routable token, or `{"prefix", "claims"}` for an unsigned JWT. `Display` gives the text to send.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "SecretModel"))]
pub struct Secret(String);

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An unsigned JWT.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Jwt {
    /// The prefix, as `glcbt-`.
    #[serde(default)]
    prefix: String,
    /// The payload.
    claims: Value,
}

/// A routable token.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Routable {
    /// The prefix, as `glpat-`.
    prefix: String,
    /// The Cell that issued it.
    cell: Option<u64>,
    /// The organization.
    organization: Option<u64>,
    /// The user.
    user: Option<u64>,
}

/// The forms of a secret, for the schema only: the errors of serde's untagged enums do not say what
/// is wrong in a variant.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "never built")]
enum SecretModel {
    Text(String),
    Jwt(Jwt),
    Routable(Routable),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let secret = match &value {
            Value::String(text) => Ok(text.clone()),
            Value::Object(fields) if fields.contains_key("claims") => jwt(value),
            _ => routable(value),
        };
        secret.map(Self).map_err(de::Error::custom)
    }
}

fn jwt(value: Value) -> Result<String, String> {
    let jwt: Jwt = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let segment = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let header = segment(r#"{"alg":"RS256","typ":"JWT"}"#);
    let payload = segment(&jwt.claims.to_string());
    Ok(format!("{}{header}.{payload}.{}", jwt.prefix, segment("unsigned")))
}

fn routable(value: Value) -> Result<String, String> {
    let Routable { prefix, cell, organization, user } =
        serde_json::from_value(value).map_err(|error| error.to_string())?;
    let routing = Routing { cell, organization, user, ..Routing::default() };
    let token = RoutableToken::mint(&prefix, *b"cases are public", &routing);
    token.map(|token| token.as_str().to_owned()).map_err(|error| error.to_string())
}

/// A user name and password. `Display` gives the value of `Authorization: Basic`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The user's name.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(format!("{}:{}", self.username, self.password)))
    }
}
