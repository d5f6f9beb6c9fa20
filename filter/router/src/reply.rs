//! Responses that the edge sends itself, in the registry's error envelope.

use oci::ErrorCode;
use oci::error::envelope;

/// Seconds that a 503 asks the client to wait. A Cell that is served from its last good response is
/// not classified again within this time either.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 5;

/// Why the edge responds itself instead of routing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The request has several credentials, of which edge and Cell might use different ones.
    AmbiguousCredentials,
    /// The request has several hosts.
    AmbiguousHost,
    /// The request target is not printable ASCII.
    MalformedTarget,
    /// A path below `/v2/` has a character that no name, tag or digest can have.
    MalformedName,
    /// The request names namespaces or organizations of several Cells.
    SeveralCells,
    /// The request names more distinct namespaces or organizations than the limit.
    TooManyNamespaces,
    /// The Topology Service is unavailable, and there is no last good response.
    Unavailable,
    /// No rule found a Cell, including the last.
    NoCell,
}

impl Rejection {
    /// All reasons, in order.
    pub const ALL: [Self; 8] = [
        Self::AmbiguousCredentials,
        Self::AmbiguousHost,
        Self::MalformedTarget,
        Self::MalformedName,
        Self::SeveralCells,
        Self::TooManyNamespaces,
        Self::Unavailable,
        Self::NoCell,
    ];

    /// Returns the name used in logs, metrics and case files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::AmbiguousHost => "ambiguous_host",
            Self::MalformedTarget => "malformed_target",
            Self::MalformedName => "malformed_name",
            Self::SeveralCells => "several_cells",
            Self::TooManyNamespaces => "too_many_namespaces",
            Self::Unavailable => "unavailable",
            Self::NoCell => "no_cell",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Unavailable | Self::NoCell => 503,
            _ => 400,
        }
    }

    fn code(self) -> ErrorCode {
        match self {
            Self::AmbiguousCredentials | Self::AmbiguousHost | Self::MalformedTarget => {
                ErrorCode::Unknown
            }
            Self::MalformedName => ErrorCode::NameInvalid,
            Self::SeveralCells | Self::TooManyNamespaces => ErrorCode::Unsupported,
            Self::Unavailable | Self::NoCell => ErrorCode::Unavailable,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::AmbiguousCredentials => "a credential header must not be sent twice",
            Self::AmbiguousHost => "the request must have exactly one Host",
            Self::MalformedTarget => "the request target must be printable ASCII",
            Self::MalformedName => {
                "the path has characters that no repository, tag or digest can have"
            }
            Self::SeveralCells => {
                "the request names repositories of different Cells; request each Cell's separately"
            }
            Self::TooManyNamespaces => "the request names too many namespaces or organizations",
            Self::Unavailable => "the Cell of this request cannot be determined now; retry later",
            Self::NoCell => "no Cell serves this request now; retry later",
        }
    }
}

/// A response from the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// The reason.
    pub rejection: Rejection,
    /// The id of the rule that rejected the request, if a rule did.
    pub rule: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The names and values of the headers.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body.
    pub body: String,
}

impl From<Rejection> for LocalReply {
    fn from(rejection: Rejection) -> Self {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("docker-distribution-api-version", "registry/2.0".to_owned()),
        ];
        if rejection.status() == 503 {
            headers.push(("retry-after", RETRY_AFTER_SECONDS.to_string()));
        }
        let body = envelope(rejection.code(), rejection.message());
        Self { rejection, rule: None, status: rejection.status(), headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_has_a_retry_after_header_and_a_400_has_none() {
        let headers = |rejection| {
            let reply = LocalReply::from(rejection);
            (reply.status, reply.headers.iter().any(|(name, _)| *name == "retry-after"))
        };
        assert_eq!(headers(Rejection::Unavailable), (503, true));
        assert_eq!(headers(Rejection::SeveralCells), (400, false));
    }

    #[test]
    fn the_body_is_a_registry_error_envelope() {
        let reply = LocalReply::from(Rejection::TooManyNamespaces);
        assert!(reply.body.starts_with(r#"{"errors":[{"code":"UNSUPPORTED","message":"#));
    }
}
