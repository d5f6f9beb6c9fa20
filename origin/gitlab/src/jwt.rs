//! The claims of a JWT whose signature is not verified. They serve as routing hints only; the Cell
//! verifies the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The longest segment that is decoded, in bytes. It bounds the work a client can cause.
const MAX_LENGTH: usize = 16 * 1024;

/// Returns the claims of `<header>.<payload>.<signature>`.
#[must_use]
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut segments = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return None;
    };
    object(payload)
}

/// Decodes the JSON object in one base64url segment. `serde_json` bounds its nesting.
#[must_use]
pub fn object(segment: &str) -> Option<Map<String, Value>> {
    if segment.len() > MAX_LENGTH {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn the_second_of_three_segments_holds_the_claims() {
        let payload = segment(r#"{"cell_id":2}"#);
        assert_eq!(claims(&format!("h.{payload}.s")).unwrap()["cell_id"], 2);
        for text in [payload.clone(), format!("h.{payload}"), format!("h.{payload}.s.t")] {
            assert_eq!(claims(&text), None, "{text}");
        }
    }

    #[test]
    fn deeply_nested_long_and_malformed_payloads_are_rejected() {
        let deep = segment(&format!("{{\"a\":{}", "[".repeat(10_000)));
        let long = segment(&format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_LENGTH)));
        for payload in [deep, long, segment("[1]"), "e30=".to_owned(), "\0".to_owned()] {
            assert_eq!(object(&payload), None);
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,100}", bytes: Vec<u8>) {
            let _ = claims(&text);
            let _ = claims(&format!("h.{}.s", URL_SAFE_NO_PAD.encode(&bytes)));
        }
    }
}
