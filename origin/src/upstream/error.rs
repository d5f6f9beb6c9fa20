//! The ways an upstream request fails, and what each means for a cached copy.

use std::time::SystemTime;

use super::rate_limit;
use super::retry_after;

/// A failed request to an upstream registry or to its token endpoint.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// No connection could be made, or it broke before the response was complete.
    #[error("the upstream registry is unreachable: {0}")]
    Unreachable(String),
    /// Connecting or reading took longer than the configured timeout.
    #[error("the upstream registry did not respond in time")]
    Timeout,
    /// The registry responded with a status other than 2xx.
    #[error("the upstream registry responded with HTTP status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds until a retry makes sense, if the registry sent `Retry-After`; always set for 429.
        retry_after: Option<u64>,
    },
    /// No request was sent: the registry responded 429 earlier and its pause is not over.
    #[error("the upstream registry's rate limit is exhausted; requests resume in {seconds} s")]
    RateLimited {
        /// Seconds left of the pause.
        seconds: u64,
    },
    /// No request was sent: the circuit breaker is open.
    #[error("the upstream registry is failing; requests resume in {seconds} s")]
    CircuitOpen {
        /// Seconds until the next probe.
        seconds: u64,
    },
    /// No request was sent: `max_connections` was reached for all of `queue_timeout`.
    #[error("too many requests to the upstream registry are in progress")]
    Busy,
    /// The token endpoint responded with a status other than 2xx and 429.
    #[error("the upstream registry's token endpoint responded with HTTP status {status}")]
    Token {
        /// The HTTP status.
        status: u16,
    },
    /// A realm or redirect points to an address that upstreams may not send us to.
    #[error("the upstream registry pointed to a disallowed address: {0}")]
    Vetoed(String),
    /// The response breaks the registry protocol.
    #[error("the upstream registry sent an invalid response: {0}")]
    Protocol(#[from] ProtocolError),
}

/// How a response breaks the registry protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A manifest is larger than the limit.
    #[error("the manifest is longer than 4 MiB")]
    ManifestTooLong,
    /// Neither the response nor the manifest names a media type.
    #[error("the manifest has neither a Content-Type nor a mediaType")]
    NoMediaType,
    /// The body of a manifest request is not a JSON object, and no digest vouches for it.
    #[error("the body is not a manifest")]
    NotAManifest,
    /// The bytes are not the content that the digest names.
    #[error("the content does not match its digest")]
    DigestMismatch,
    /// A blob has length 0, but its digest is not that of an empty blob.
    #[error("the blob is empty, but its digest is not that of an empty blob")]
    EmptyBlob,
    /// A resumed blob has another length than the first response announced.
    #[error("the blob's length changed between two responses")]
    LengthChanged,
    /// The body is longer than its announced length.
    #[error("the blob is longer than its announced length")]
    BlobTooLong,
    /// The response holds another range than the requested one.
    #[error("the response holds another range than the requested one")]
    WrongRange,
    /// A tag list, a referrers list or a token response is larger than the limit.
    #[error("the body is longer than the limit for its kind")]
    BodyTooLong,
    /// The body of a tag list request is not a tag list.
    #[error("the body is not a tag list")]
    NotATagList,
    /// The body of a referrers request is not an index of referrers.
    #[error("the body is not a referrers list")]
    NotAReferrersList,
    /// The pages of a referrers list do not end, or are too large together.
    #[error("the referrers list is too long")]
    TooManyReferrers,
    /// The redirects do not end.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The token endpoint's response holds no usable token.
    #[error("the token endpoint's response contains no token")]
    NoToken,
}

/// What a failure says about the requested object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Nothing: network failure, timeout, 429, 5xx or an invalid response.
    Outage,
    /// It does not exist: 404.
    Absent,
    /// The configured credential may not read it: 401 and 403.
    Refused,
}

impl UpstreamError {
    /// Returns what this failure says about the requested object.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Status { status: 404, .. } => FailureClass::Absent,
            Self::Status { status: 401 | 403, .. } | Self::Token { status: 401 | 403 } => {
                FailureClass::Refused
            }
            _ => FailureClass::Outage,
        }
    }

    /// Whether the registry rejects the HEAD method, which says nothing about the object: use GET.
    #[must_use]
    pub fn is_about_head(&self) -> bool {
        matches!(self, Self::Status { status: 400 | 405 | 501, .. })
    }

    /// Returns the value of the metric label `outcome`.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Status { status: 429, .. } => "rate_limited",
            Self::Status { status: 500.., .. } => "server_error",
            Self::Status { .. } if self.class() == FailureClass::Absent => "absent",
            Self::Status { .. } if self.class() == FailureClass::Refused => "refused",
            Self::Status { .. } => "odd_status",
            Self::RateLimited { .. } => "not_asked_rate_limit",
            Self::CircuitOpen { .. } => "not_asked_circuit",
            Self::Busy => "not_asked_busy",
            Self::Token { .. } => "token_refused",
            Self::Vetoed(_) => "vetoed",
            Self::Protocol(_) => "protocol",
        }
    }

    /// Returns the seconds until a retry makes sense, for a client's `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::RateLimited { seconds } | Self::CircuitOpen { seconds } => Some(*seconds),
            _ => None,
        }
    }

    pub(super) fn of(response: &reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers());
        let now = SystemTime::now();
        // For 429, clients get the pause that this process keeps itself.
        let pause = match status {
            429 => Some(rate_limit::pause(headers, now)),
            _ => retry_after::parse(headers, now),
        };
        Self::Status { status, retry_after: pause.map(|pause| pause.as_secs()) }
    }
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // The URL is left out, as a redirect's URL may carry a signature.
        Self::Unreachable(root_cause(&error.without_url()))
    }
}

/// Returns the text of the innermost source; reqwest's outer ones repeat the URL and say little.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_401_403_and_404_say_something_about_the_object() {
        let status = |status| UpstreamError::Status { status, retry_after: None }.class();
        assert_eq!(status(404), FailureClass::Absent);
        assert_eq!(status(401), FailureClass::Refused);
        assert_eq!(status(403), FailureClass::Refused);
        for outage in [405, 408, 429, 500, 502, 503, 504] {
            assert_eq!(status(outage), FailureClass::Outage, "{outage}");
        }
        assert_eq!(UpstreamError::Timeout.class(), FailureClass::Outage);
        assert_eq!(UpstreamError::RateLimited { seconds: 1 }.class(), FailureClass::Outage);
    }

    #[test]
    fn a_404_of_the_token_endpoint_says_nothing_about_the_image() {
        let token = |status| UpstreamError::Token { status }.class();
        assert_eq!(token(404), FailureClass::Outage);
        assert_eq!(token(401), FailureClass::Refused);
    }
}
