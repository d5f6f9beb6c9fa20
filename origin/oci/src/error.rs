//! The error body that registry clients understand (OCI distribution spec, "Error Codes").

use serde_json::{Value, json};

/// An error code, on which clients branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The blob is not known to the registry.
    BlobUnknown,
    /// The digest in the request is malformed.
    DigestInvalid,
    /// The manifest failed validation.
    ManifestInvalid,
    /// The manifest is not known to the registry.
    ManifestUnknown,
    /// The repository name is malformed.
    NameInvalid,
    /// The repository is not known to the registry, or not to this client.
    NameUnknown,
    /// The tag is malformed.
    TagInvalid,
    /// The requested number of entries is not a number (CNCF distribution's own code).
    PaginationNumberInvalid,
    /// The requested range cannot be satisfied.
    RangeInvalid,
    /// A credential is missing or wrong.
    Unauthorized,
    /// The credential is valid, but does not grant the access.
    Denied,
    /// The operation is not supported.
    Unsupported,
    /// Too many requests, here or at the upstream.
    TooManyRequests,
    /// A required service is unavailable; a retry may succeed (CNCF distribution's own code).
    Unavailable,
    /// Any other error (CNCF distribution's catch-all).
    Unknown,
}

impl ErrorCode {
    /// Returns the code's text in the body.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Returns the body `{"errors":[{"code":…,"message":…}]}`.
#[must_use]
pub fn envelope(code: ErrorCode, message: &str) -> String {
    body(&json!({"code": code.as_str(), "message": message}))
}

/// Returns the same body with a `detail`, which clients may show.
#[must_use]
pub fn envelope_with_detail(code: ErrorCode, message: &str, detail: &Value) -> String {
    body(&json!({"code": code.as_str(), "message": message, "detail": detail}))
}

fn body(error: &Value) -> String {
    json!({"errors": [error]}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_quotes_is_escaped() {
        let text = envelope(ErrorCode::NameInvalid, r#"no "such" \ name"#);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["errors"][0]["code"], "NAME_INVALID");
        assert_eq!(value["errors"][0]["message"], r#"no "such" \ name"#);
    }

    #[test]
    fn a_detail_is_included_unchanged() {
        let text = envelope_with_detail(ErrorCode::Denied, "no", &json!({"group": "acme"}));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["errors"][0]["detail"]["group"], "acme");
    }
}
