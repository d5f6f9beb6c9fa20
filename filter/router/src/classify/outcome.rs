//! What became of a call, for the decision to ask again and for the metrics.

use super::{Answer, CallError};

/// Why a call says nothing about a Cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No HTTP answer.
    Call(CallError),
    /// A status that says nothing about a Cell.
    Status(u16),
    /// An answer that cannot be understood.
    Garbage,
}

impl Failure {
    /// Whether another try may fare better.
    pub(crate) fn is_transient(self) -> bool {
        match self {
            Self::Call(_) => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..=599),
            Self::Garbage => false,
        }
    }
}

/// What became of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It named a Cell.
    Found,
    /// There is no Cell.
    NotFound,
    /// None came in time.
    Timeout,
    /// The connection failed or broke.
    Transport,
    /// The host refused to send it.
    Dispatch,
    /// Another status than 200 and 404.
    BadStatus,
    /// 200 or 404 with a body that is not the Topology Service's.
    Garbage,
}

impl CallOutcome {
    /// Each of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Found,
        Self::NotFound,
        Self::Timeout,
        Self::Transport,
        Self::Dispatch,
        Self::BadStatus,
        Self::Garbage,
    ];

    pub(crate) fn of(read: &Result<Answer, Failure>) -> Self {
        match read {
            Ok(Answer::Found(_)) => Self::Found,
            Ok(Answer::NotFound) => Self::NotFound,
            // Envoy answers a call that took too long by itself, with 504.
            Err(Failure::Call(CallError::Timeout) | Failure::Status(408 | 504)) => Self::Timeout,
            Err(Failure::Call(CallError::Transport)) => Self::Transport,
            Err(Failure::Call(CallError::Dispatch)) => Self::Dispatch,
            Err(Failure::Status(_)) => Self::BadStatus,
            Err(Failure::Garbage) => Self::Garbage,
        }
    }

    /// For metrics.
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
