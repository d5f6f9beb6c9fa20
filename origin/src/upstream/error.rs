//! How an upstream fails, and what that means for a cached copy.

use std::time::SystemTime;

/// A request to the upstream that brought nothing usable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, or it broke.
    #[error("the upstream registry cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the upstream registry did not answer in time")]
    Timeout,
    /// It answered with another status than 2xx.
    #[error("the upstream registry answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, to the letter.
        retry_after: Option<String>,
    },
    /// It answered 429 a while ago and asked to be left alone so long, and was not asked now.
    #[error("the upstream registry answered 429; it may be asked again in {seconds} s")]
    RateLimited {
        /// What is left of its `Retry-After`.
        seconds: u64,
    },
    /// It failed again and again, and was not asked now.
    #[error("the upstream registry keeps failing; it is asked again in {seconds} s")]
    Resting {
        /// Until somebody may find out.
        seconds: u64,
    },
    /// It answers as many requests as it may at once, and none of them ended in time.
    #[error("too many requests to the upstream registry are under way")]
    Busy,
    /// Its token endpoint gave no token.
    #[error("the upstream registry's token endpoint answered {status}")]
    Token {
        /// The HTTP status.
        status: u16,
    },
    /// It pointed to a place that is not to be visited with our requests.
    #[error("the upstream registry sent us to a place that is refused: {0}")]
    Vetoed(String),
    /// It sent what no registry sends.
    #[error("the upstream registry sent {0}")]
    Protocol(&'static str),
}

/// What a failure says about the thing asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Nothing: network, timeout, 429, 5xx, or an answer that makes no sense.
    Outage,
    /// It is not there: 404.
    Absent,
    /// We may not have it: 401 and 403.
    Refused,
}

impl UpstreamError {
    /// What this failure says about the thing asked for.
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

    /// Whether it refuses HEAD as such and says nothing of the thing asked for: GET decides.
    #[must_use]
    pub fn is_about_head(&self) -> bool {
        matches!(self, Self::Status { status: 400 | 405 | 501, .. })
    }

    /// The metric's label.
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
            Self::Resting { .. } => "not_asked_circuit",
            Self::Busy => "not_asked_busy",
            Self::Token { .. } => "token_refused",
            Self::Vetoed(_) => "vetoed",
            Self::Protocol(_) => "protocol",
        }
    }

    /// What a client is told to wait, as `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<String> {
        match self {
            Self::Status { retry_after, .. } => retry_after.clone(),
            Self::RateLimited { seconds } | Self::Resting { seconds } => Some(seconds.to_string()),
            _ => None,
        }
    }

    pub(super) fn of(response: &reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers());
        // A client is told how long we shall wait ourselves.
        let retry_after = match status {
            429 => Some(super::limit::pause(headers, SystemTime::now()).as_secs().to_string()),
            _ => super::text(headers, "retry-after"),
        };
        Self::Status { status, retry_after }
    }
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // A redirect's URL may carry a signature, so it stays out of the text.
        Self::Unreachable(innermost(&error.without_url()))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
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
    fn only_a_clear_no_is_more_than_an_outage() {
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
    fn a_token_endpoint_says_nothing_about_the_image() {
        let token = |status| UpstreamError::Token { status }.class();
        assert_eq!(token(404), FailureClass::Outage);
        assert_eq!(token(401), FailureClass::Refused);
    }
}
