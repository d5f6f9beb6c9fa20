//! The outcomes of calls, for metrics.

use super::response::{CallError, CallFailure, Classification};

/// The outcome of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The response names a Cell.
    Found,
    /// There is no Cell.
    NotFound,
    /// No response arrived in time.
    Timeout,
    /// The connection failed or broke.
    Transport,
    /// The host refused to send the request.
    Dispatch,
    /// The status is neither 200 nor 404.
    BadStatus,
    /// The status is 200 or 404, but the body is not the Topology Service's.
    Garbage,
}

impl CallOutcome {
    /// All outcomes, in order.
    pub const ALL: [Self; 7] = [
        Self::Found,
        Self::NotFound,
        Self::Timeout,
        Self::Transport,
        Self::Dispatch,
        Self::BadStatus,
        Self::Garbage,
    ];

    pub(crate) fn of(read: &Result<Classification, CallFailure>) -> Self {
        match read {
            Ok(Classification::Found(_)) => Self::Found,
            Ok(Classification::NotFound) => Self::NotFound,
            // Envoy itself responds with 504 to a call that timed out.
            Err(CallFailure::NoResponse(CallError::Timeout) | CallFailure::Status(408 | 504)) => {
                Self::Timeout
            }
            Err(CallFailure::NoResponse(CallError::Transport)) => Self::Transport,
            Err(CallFailure::NoResponse(CallError::Dispatch)) => Self::Dispatch,
            Err(CallFailure::Status(_)) => Self::BadStatus,
            Err(CallFailure::Malformed) => Self::Garbage,
        }
    }

    /// Returns the name used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Dispatch => "dispatch",
            Self::BadStatus => "bad_status",
            Self::Garbage => "garbage",
        }
    }
}
