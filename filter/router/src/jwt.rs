//! Reads the payload of a JWT without its signature: at the edge a claim is a routing hint, the
//! Cell verifies the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::base36;
use crate::token::Routing;

/// Bytes of a whole token; beyond, it is not read at all.
const MAX_LENGTH: usize = 16 * 1024;

/// The claims of `<header>.<payload>.<signature>`.
pub(crate) fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut segments = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return None;
    };
    object(payload)
}

/// The JSON object in one base64url segment; nesting is bounded by `serde_json`.
pub(crate) fn object(segment: &str) -> Option<Map<String, Value>> {
    if segment.len() > MAX_LENGTH {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}

/// The routing of a CI job token's payload: `c`, `g`, `o`, `p`, `u` as base36 *strings*. A number
/// is the older, decimal form and is refused rather than read as base36.
pub(crate) fn routing(segment: &str) -> Option<Routing> {
    let claims = object(segment)?;
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
    use super::*;
    use proptest::prelude::*;

    fn segment(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn the_middle_of_three_segments_holds_the_claims() {
        let payload = segment(r#"{"cell_id":2}"#);
        assert_eq!(claims(&format!("h.{payload}.s")).unwrap()["cell_id"], 2);
        for text in [payload.clone(), format!("h.{payload}"), format!("h.{payload}.s.t")] {
            assert_eq!(claims(&text), None, "{text}");
        }
    }

    #[test]
    fn routing_is_base36_and_a_number_is_not() {
        assert_eq!(routing(&segment(r#"{"c":"10","o":"rt"}"#)).unwrap().cell, Some(36));
        assert_eq!(routing(&segment(r#"{"c":10}"#)), None);
        assert_eq!(routing(&segment(r#"{"c":"A"}"#)), None);
        assert_eq!(routing(&segment(r#"{"sub":"x"}"#)), Some(Routing::default()));
    }

    #[test]
    fn deep_long_and_broken_payloads_are_refused() {
        let deep = segment(&format!("{{\"a\":{}", "[".repeat(10_000)));
        let long = segment(&format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_LENGTH)));
        for payload in [deep, long, segment("[1]"), "e30=".to_owned(), "\0".to_owned()] {
            assert_eq!(object(&payload), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,100}", bytes: Vec<u8>) {
            let _ = claims(&text);
            let _ = claims(&format!("h.{}.s", URL_SAFE_NO_PAD.encode(&bytes)));
            let _ = routing(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
