//! CI job tokens: JWTs behind the prefix `glcbt-` whose payload carries the routing of the job.
//!
//! The signature is not verified here: routing is a hint for the edge and proves nothing.
//! Source: GitLab's `lib/ci/job_token/jwt.rb`.

use serde_json::Value;

use crate::token::Routing;
use crate::{base36, jwt};

/// GitLab's prefix of CI job tokens; an instance may put its own before it.
const PREFIX: &str = "glcbt-";

/// Reads the routing of a whole CI job token.
#[must_use]
pub fn decode(token: &str) -> Option<Routing> {
    let (_, token) = token.split_once(PREFIX)?;
    let (_, payload) = token.split_once('.')?;
    let (payload, signature) = payload.split_once('.')?;
    if signature.contains('.') {
        return None;
    }
    routing(payload)
}

/// Reads the routing in a job token's payload segment: `c`, `g`, `o`, `p` and `u` are base36
/// *strings*. A JSON number is the older, decimal form; it is rejected because reading it as base36
/// would name a different Cell.
#[must_use]
pub fn routing(segment: &str) -> Option<Routing> {
    let claims = jwt::object(segment)?;
    let field = |key: &str| match claims.get(key) {
        None => Some(None),
        Some(Value::String(text)) => base36::decode(text).map(Some),
        Some(_) => None,
    };
    Some(Routing {
        cell: field("c")?,
        group: field("g")?,
        organization: field("o")?,
        project: field("p")?,
        runner_type: None,
        user: field("u")?,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn segment(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn fields_are_base36_strings_and_numbers_are_rejected() {
        assert_eq!(routing(&segment(r#"{"c":"10","o":"rt"}"#)).unwrap().cell, Some(36));
        assert_eq!(routing(&segment(r#"{"sub":"x"}"#)), Some(Routing::default()));
        for payload in
            [r#"{"c":10}"#, r#"{"c":"A"}"#, r#"{"c":"+2"}"#, r#"{"c":"2","u":"!"}"#, "[]"]
        {
            assert_eq!(routing(&segment(payload)), None, "{payload}");
        }
    }

    #[test]
    fn the_prefix_may_follow_one_of_the_instance() {
        let jwt = format!("{}.{}.s", segment("{}"), segment(r#"{"c":"10"}"#));
        for prefix in ["glcbt-", "ours-glcbt-"] {
            assert_eq!(decode(&format!("{prefix}{jwt}")).unwrap().cell, Some(36), "{prefix}");
        }
        for token in
            [jwt.clone(), format!("glpat-{jwt}"), format!("glcbt-{jwt}.s"), "glcbt-x".to_owned()]
        {
            assert_eq!(decode(&token), None, "{token}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,100}", bytes: Vec<u8>) {
            let _ = decode(&format!("glcbt-{text}"));
            let _ = routing(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
