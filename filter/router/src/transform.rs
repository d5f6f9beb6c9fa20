//! Turns captured text into further variables. A transform never fails: what cannot be read gives
//! no variable, and the rule falls through where it needs one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::pattern::Pattern;
use crate::request::Request;
use crate::token::{self, Routing};
use crate::variables::{Template, Variables};
use crate::{jwt, scope};

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

impl Transform {
    pub(crate) fn apply(&self, request: &Request<'_>, variables: &mut Variables) {
        let produced = match self {
            Self::DecodeBase64Match { input, pattern } => {
                return decode_base64_match(input, pattern, variables);
            }
            Self::RoutableToken { token, output } => {
                let routing = token.one(variables).and_then(|token| token::decode(&token).ok());
                routing.map(|routing| (output, routing_value(&routing)))
            }
            Self::RoutablePayload { payload, length, output } => {
                let routing = routable_payload(payload, length, variables);
                routing.map(|routing| (output, routing_value(&routing)))
            }
            Self::RoutableJson { payload, output } => {
                let routing = payload.one(variables).and_then(|payload| jwt::routing(&payload));
                routing.map(|routing| (output, routing_value(&routing)))
            }
            Self::JwtClaims { token, output } => {
                let claims = token.one(variables).and_then(|token| jwt::claims(&token));
                claims.map(|claims| (output, Value::Object(claims)))
            }
            Self::RegistryScopes { output } => Some((output, scopes_value(request))),
        };
        if let Some((name, value)) = produced {
            variables.set(name, value);
        }
    }
}

fn decode_base64_match(input: &Template, pattern: &Pattern, variables: &mut Variables) {
    if let Some(bytes) = input.one(variables).and_then(|text| STANDARD.decode(text).ok()) {
        pattern.matches(&bytes, variables);
    }
}

fn routable_payload(payload: &Template, length: &Template, vars: &Variables) -> Option<Routing> {
    Routing::from_payload(&payload.one(vars)?, &length.one(vars)?).ok()
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
        transform.apply(&Request::new(&headers), &mut variables);
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
    fn claims_and_scopes_are_read_by_field() {
        let jwt = Transform::JwtClaims { token: template("${in}"), output: "claims".into() };
        assert_eq!(run(&jwt, "e30.eyJjZWxsX2lkIjoyfQ.s", "claims.cell_id"), ["2"]);
        let scopes = Transform::RegistryScopes { output: "scopes".into() };
        assert_eq!(run(&scopes, "", "scopes.namespace"), ["a"]);
    }
}
