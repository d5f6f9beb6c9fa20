//! How an upstream fails, and what that means for a cached copy.

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
    /// It pointed to a place that is not to be visited with our requests.
    #[error("the upstream registry sent us to a place that is refused: {0}")]
    Vetoed(String),
    /// It sent what no registry sends.
    #[error("the upstream registry sent {0}")]
    Protocol(&'static str),
    /// Its bytes could not be spooled here.
    #[error("the blob could not be spooled: {0}")]
    Spool(String),
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
            Self::Status { status: 401 | 403, .. } => FailureClass::Refused,
            _ => FailureClass::Outage,
        }
    }

    pub(super) fn of(response: &reqwest::Response) -> Self {
        let retry_after = super::text(response.headers(), "retry-after");
        Self::Status { status: response.status().as_u16(), retry_after }
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

/// The only file work of a fetch is its spool.
impl From<std::io::Error> for UpstreamError {
    fn from(error: std::io::Error) -> Self {
        Self::Spool(error.to_string())
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
    }
}
