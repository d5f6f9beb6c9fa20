//! Turns captured text into further variables. An input that cannot be decoded is not an error: it
//! sets no variable, and the rule does not match if it requires that variable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitlab::{Routing, TokenError, job_token, jwt, token};
use serde_json::{Map, Value};

use super::pattern::Pattern;
use super::scope;
use super::variables::{Template, Variables};
use crate::request::Request;

/// A step that sets variables. `output` is the variable's name.
#[derive(Debug)]
pub(crate) enum Transform {
    /// Decodes a whole token and verifies its checksum.
    RoutableToken {
        token: Template,
        output: String,
    },
    /// Decodes a captured payload and length, as GitLab's rulesets do; there is no checksum.
    RoutablePayload {
        payload: Template,
        length: Template,
        output: String,
    },
    RoutableJson {
        payload: Template,
        output: String,
    },
    JwtClaims {
        token: Template,
        output: String,
    },
    /// The captures of the pattern are the output.
    DecodeBase64Match {
        input: Template,
        pattern: Pattern,
    },
    RegistryScopes {
        output: String,
    },
}

/// Why a transform sets no variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransformError {
    #[error("the input does not exist or is a list")]
    NoInput,
    #[error("not a routable token: {0}")]
    Token(#[from] TokenError),
    #[error("not base64url of a JSON object with `c`, `g`, `o`, `p` and `u` as base36 strings")]
    Routing,
    #[error("not a JWT")]
    Jwt,
    #[error("not base64")]
    Base64,
    #[error("the decoded text does not match")]
    NoMatch,
}

impl Transform {
    /// Returns whether it reads the request, not only variables.
    pub(crate) fn reads_request(&self) -> bool {
        matches!(self, Self::RegistryScopes { .. })
    }

    /// Sets the variables, unless the input is missing or malformed.
    pub(crate) fn apply(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Result<(), TransformError> {
        let one = |input: &Template| input.one(variables).ok_or(TransformError::NoInput);
        let (name, value) = match self {
            Self::DecodeBase64Match { input, pattern } => {
                let bytes = STANDARD.decode(one(input)?).map_err(|_| TransformError::Base64)?;
                return pattern
                    .matches(&bytes, variables)
                    .then_some(())
                    .ok_or(TransformError::NoMatch);
            }
            Self::RoutableToken { token, output } => {
                (output, routing_value(&token::decode(&one(token)?)?))
            }
            Self::RoutablePayload { payload, length, output } => {
                (output, routing_value(&Routing::from_payload(&one(payload)?, &one(length)?)?))
            }
            Self::RoutableJson { payload, output } => {
                let routing = job_token::routing(&one(payload)?).ok_or(TransformError::Routing)?;
                (output, routing_value(&routing))
            }
            Self::JwtClaims { token, output } => {
                let claims = jwt::claims(&one(token)?).ok_or(TransformError::Jwt)?;
                (output, Value::Object(claims))
            }
            Self::RegistryScopes { output } => (output, scopes_value(request)),
        };
        variables.set(name, value);
        Ok(())
    }
}

/// Returns the fields by key, with ids in decimal as the Topology Service expects them.
fn routing_value(routing: &Routing) -> Value {
    let fields = routing.fields().into_iter();
    let object: Map<_, _> =
        fields.filter_map(|(key, id)| Some((key.to_owned(), id?.to_string().into()))).collect();
    Value::Object(object)
}

fn scopes_value(request: &Request<'_>) -> Value {
    let values: Vec<_> = request.parameters("scope").collect();
    let namespaces = scope::deciding_namespaces(values.iter().map(AsRef::as_ref));
    Value::Object(Map::from_iter([("namespace".to_owned(), namespaces.into())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Returns the texts of `${read}` after `transform` was applied with `${in}` = `input`.
    fn run(transform: &Transform, input: &str, read: &str) -> Vec<String> {
        let headers = [(":path".to_owned(), b"/jwt/auth?scope=repository:a/x:pull".to_vec())];
        let mut variables = Variables::default();
        variables.set("in", json!(input));
        variables.set("length", json!("14"));
        let _ = transform.apply(&Request::new(&headers), &mut variables);
        variables.texts(&read.parse().unwrap())
    }

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    const PAT: &str = "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l";

    #[test]
    fn a_whole_token_gives_decimal_ids_if_its_checksum_matches() {
        let whole = Transform::RoutableToken { token: template("${in}"), output: "d".into() };
        assert_eq!(run(&whole, PAT, "d.c"), ["2"]);
        assert_eq!(run(&whole, PAT, "d.o"), ["1001"]);
        assert!(run(&whole, PAT, "d.g").is_empty());
        assert!(run(&whole, &PAT.replace("08l", "080"), "d.c").is_empty());
    }

    #[test]
    fn a_captured_payload_and_length_are_decoded() {
        let captured = Transform::RoutablePayload {
            payload: template("${in}"),
            length: template("${length}"),
            output: "d".into(),
        };
        assert_eq!(run(&captured, "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN", "d.c"), ["2"]);
        assert!(run(&captured, "tooshort", "d.c").is_empty());
    }

    #[test]
    fn basic_credentials_are_decoded_strictly_and_split_at_the_first_colon() {
        let basic = Transform::DecodeBase64Match {
            input: template("${in}"),
            pattern: Pattern::compile("[^:]*:(?<password>.*)").unwrap(),
        };
        assert_eq!(run(&basic, &STANDARD.encode("me:a:b"), "password"), ["a:b"]);
        for hostile in ["", "bWU6YQ", "bW U6YQ==", "!!!!", &STANDARD.encode("no colon")] {
            assert!(run(&basic, hostile, "password").is_empty(), "{hostile}");
        }
    }

    #[test]
    fn a_failed_transform_has_a_reason() {
        let error = |transform: Transform, input: &str| {
            let mut variables = Variables::default();
            variables.set("in", json!(input));
            transform.apply(&Request::new(&[]), &mut variables).unwrap_err()
        };
        let token = |token| Transform::RoutableToken { token: template(token), output: "d".into() };
        let pattern = || Pattern::compile("a").unwrap();
        let base64 =
            || Transform::DecodeBase64Match { input: template("${in}"), pattern: pattern() };
        assert_eq!(error(token("${other}"), PAT), TransformError::NoInput);
        let wrong = PAT.replace("08l", "080");
        assert_eq!(error(token("${in}"), &wrong), TransformError::Token(TokenError::Checksum));
        assert_eq!(error(base64(), "!"), TransformError::Base64);
        assert_eq!(error(base64(), "Yg=="), TransformError::NoMatch);
    }

    #[test]
    fn claims_and_scopes_are_read_by_field() {
        let jwt = Transform::JwtClaims { token: template("${in}"), output: "claims".into() };
        assert_eq!(run(&jwt, "e30.eyJjZWxsX2lkIjoyfQ.s", "claims.cell_id"), ["2"]);
        let scopes = Transform::RegistryScopes { output: "scopes".into() };
        assert_eq!(run(&scopes, "", "scopes.namespace"), ["a"]);
    }
}
