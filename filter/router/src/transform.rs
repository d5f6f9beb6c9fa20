//! Turns captured text into further variables. A transform never fails: what cannot be read gives
//! no variable, and the rule falls through where it needs one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitlab::{Routing, TokenError, job_token, jwt, token};
use serde_json::{Map, Value};

use crate::pattern::Pattern;
use crate::request::Request;
use crate::scope;
use crate::variables::{Template, Variables};

/// One step; `output` names the variable it sets.
#[derive(Debug)]
pub(crate) enum Transform {
    /// A whole token, checksum verified.
    RoutableToken {
        token: Template,
        output: String,
    },
    /// GitLab's form: payload and length as captured, without a checksum.
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
    /// Its captures are the output.
    DecodeBase64Match {
        input: Template,
        pattern: Pattern,
    },
    RegistryScopes {
        output: String,
    },
}

/// Why a transform sets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("its input does not exist, or is a list of several")]
    NoInput,
    #[error("no routable token: {0}")]
    Token(#[from] TokenError),
    #[error("no base64url of a JSON object whose `c`, `g`, `o`, `p` and `u` are base36 texts")]
    Routing,
    #[error("no JWT")]
    Jwt,
    #[error("no base64")]
    Base64,
    #[error("what was decoded does not match")]
    NoMatch,
}

impl Transform {
    /// Whether it reads more than variables.
    pub(crate) fn reads_request(&self) -> bool {
        matches!(self, Self::RegistryScopes { .. })
    }

    /// Sets its variables, if it can read its input.
    pub(crate) fn apply(
        &self,
        request: &Request<'_>,
        variables: &mut Variables,
    ) -> Result<(), Unread> {
        let one = |input: &Template| input.one(variables).ok_or(Unread::NoInput);
        let (name, value) = match self {
            Self::DecodeBase64Match { input, pattern } => {
                let bytes = STANDARD.decode(one(input)?).map_err(|_| Unread::Base64)?;
                return pattern.matches(&bytes, variables).then_some(()).ok_or(Unread::NoMatch);
            }
            Self::RoutableToken { token, output } => {
                (output, routing_value(&token::decode(&one(token)?)?))
            }
            Self::RoutablePayload { payload, length, output } => {
                (output, routing_value(&Routing::from_payload(&one(payload)?, &one(length)?)?))
            }
            Self::RoutableJson { payload, output } => {
                let routing = job_token::routing(&one(payload)?).ok_or(Unread::Routing)?;
                (output, routing_value(&routing))
            }
            Self::JwtClaims { token, output } => {
                let claims = jwt::claims(&one(token)?).ok_or(Unread::Jwt)?;
                (output, Value::Object(claims))
            }
            Self::RegistryScopes { output } => (output, scopes_value(request)),
        };
        variables.set(name, value);
        Ok(())
    }
}

/// Fields by key, ids in decimal: the form a Topology Service takes.
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

    /// The texts of `${read}` after `transform` saw `${in}` = `input`.
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
    fn a_whole_token_gives_decimal_ids_if_its_checksum_holds() {
        let whole = Transform::RoutableToken { token: template("${in}"), output: "d".into() };
        assert_eq!(run(&whole, PAT, "d.c"), ["2"]);
        assert_eq!(run(&whole, PAT, "d.o"), ["1001"]);
        assert!(run(&whole, PAT, "d.g").is_empty());
        assert!(run(&whole, &PAT.replace("08l", "080"), "d.c").is_empty());
    }

    #[test]
    fn gitlabs_form_reads_payload_and_length() {
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
    fn what_cannot_be_read_has_its_reason() {
        let unread = |transform: Transform, input: &str| {
            let mut variables = Variables::default();
            variables.set("in", json!(input));
            transform.apply(&Request::new(&[]), &mut variables).unwrap_err()
        };
        let token = |token| Transform::RoutableToken { token: template(token), output: "d".into() };
        let pattern = || Pattern::compile("a").unwrap();
        let base64 =
            || Transform::DecodeBase64Match { input: template("${in}"), pattern: pattern() };
        assert_eq!(unread(token("${other}"), PAT), Unread::NoInput);
        let wrong = PAT.replace("08l", "080");
        assert_eq!(unread(token("${in}"), &wrong), Unread::Token(TokenError::Checksum));
        assert_eq!(unread(base64(), "!"), Unread::Base64);
        assert_eq!(unread(base64(), "Yg=="), Unread::NoMatch);
    }

    #[test]
    fn claims_and_scopes_are_read_by_field() {
        let jwt = Transform::JwtClaims { token: template("${in}"), output: "claims".into() };
        assert_eq!(run(&jwt, "e30.eyJjZWxsX2lkIjoyfQ.s", "claims.cell_id"), ["2"]);
        let scopes = Transform::RegistryScopes { output: "scopes".into() };
        assert_eq!(run(&scopes, "", "scopes.namespace"), ["a"]);
    }
}
