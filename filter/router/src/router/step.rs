//! What the caller does next with a request.

use std::rc::Rc;

use super::matched::MatchedRule;
use super::weigh::QueryState;
use crate::decision::Decision;
use crate::reply::LocalReply;
use crate::request::Headers;
use crate::time::Millis;

/// What the caller does next.
#[derive(Debug)]
pub enum Step {
    /// Route the request.
    Continue(Decision),
    /// Make these calls, then pass [`crate::Router::resume`] a result for each, in order.
    Call(Vec<Call>, Pending),
    /// Respond at the edge; no Cell sees the request.
    Reply(LocalReply),
}

/// A call to the Topology Service: a POST to [`crate::CLASSIFY_PATH`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The JSON body.
    pub body: String,
    /// The milliseconds to wait before the call is sent.
    pub delay_ms: u64,
    /// The milliseconds to wait for the response after the call is sent.
    pub timeout_ms: u64,
}

/// A request whose decision waits for calls. [`crate::Router::resume`] consumes it, so a request cannot be
/// resumed twice. It owns the headers that rules may still read, because the host's are gone by then.
#[derive(Debug)]
pub struct Pending {
    pub(super) headers: Headers,
    pub(super) position: Position,
    pub(super) queries: Vec<QueryState>,
    pub(super) attempt: u32,
    pub(super) deadline: Millis,
}

/// A rule that matches, and the index of its `classify` entry.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) matched: Rc<MatchedRule>,
    pub(super) entry: usize,
}
