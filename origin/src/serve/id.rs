//! The id by which a request is found in logs, here and at the edge.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Long enough for a UUID with a prefix, short enough for every log line.
const LONGEST: usize = 128;

/// 1 to 128 letters, digits, `-`, `_`, `.` and `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's, where it is one; else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).filter(|value| is_sane(value.as_bytes()));
        given.cloned().map_or_else(Self::new, Self)
    }

    fn new() -> Self {
        let id = format!("{:032x}", rand::random::<u128>());
        Self(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-")))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn into_value(self) -> HeaderValue {
        self.0
    }
}

fn is_sane(id: &[u8]) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> RequestId {
        let value = HeaderValue::from_bytes(given).unwrap();
        RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
    }

    #[test]
    fn a_sane_id_is_kept() {
        for id in ["a", "4bf92f35-77b3-4da6", "cell-1:a.b_c", &"x".repeat(LONGEST)] {
            assert_eq!(of(id.as_bytes()).as_str(), id);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        for id in [&b""[..], b"two words", b"\xff", b"a\tb", b"\"", &b"x".repeat(LONGEST + 1)] {
            let made = of(id);
            assert!(made.0 != id && is_sane(made.as_str().as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn two_made_ones_differ() {
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
