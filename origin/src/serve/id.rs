//! The id that links the log lines of a request, here and at the edge.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Long enough for a UUID with a prefix, short enough for every log line.
const MAX_LENGTH: usize = 128;

/// 1 to 128 letters, digits, `-`, `_`, `.` and `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the client's id if it is valid, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).filter(|value| is_valid(value.as_bytes()));
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

fn is_valid(id: &[u8]) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> RequestId {
        let value = HeaderValue::from_bytes(given).unwrap();
        RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["a", "4bf92f35-77b3-4da6", "cell-1:a.b_c", &"x".repeat(MAX_LENGTH)] {
            assert_eq!(of(id.as_bytes()).as_str(), id);
        }
    }

    #[test]
    fn an_invalid_id_is_replaced() {
        for id in [&b""[..], b"two words", b"\xff", b"a\tb", b"\"", &b"x".repeat(MAX_LENGTH + 1)] {
            let made = of(id);
            assert!(made.0 != id && is_valid(made.as_str().as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn two_new_ids_differ() {
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
