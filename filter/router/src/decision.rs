//! What the router says: where a request goes, what to ask first, or what to answer at the edge.

use std::rc::Rc;

use oci::ErrorCode;
use oci::error::envelope;

use crate::router::Pending;

/// The header Envoy's route reads the cluster from.
pub const CELL_CLUSTER: &str = "x-cell-cluster";
/// The header Envoy's ring hash reads.
pub const CELL_HASH_KEY: &str = "x-cell-hash-key";
/// Response header: the cluster chosen.
pub const CELL: &str = "x-cell";
/// Response header: the id of the rule that chose it.
pub const CELL_RULE: &str = "x-cell-rule";
/// `classify` or `proxy`, counted by the Cell.
pub const RULE_ACTION: &str = "x-gitlab-http-router-rule-action";
/// The type or claim that was classified.
pub const RULE_TYPE: &str = "x-gitlab-http-router-rule-type";
/// The authority the client used; a Cell's ingress takes it for the host.
pub const FORWARDED_HOST: &str = "x-forwarded-host";

/// Headers only the edge may set.
const OWNED: [&str; 7] =
    [CELL_CLUSTER, CELL_HASH_KEY, CELL, CELL_RULE, RULE_ACTION, RULE_TYPE, FORWARDED_HOST];

/// Whether only the edge may set this header, so that an inbound copy is a forgery; `_` counts as
/// `-`, for many servers read one as the other.
#[must_use]
pub fn is_owned_header(name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b'_' && b == b'-' || a.eq_ignore_ascii_case(&b);
    OWNED.iter().any(|owned| name.len() == owned.len() && name.bytes().zip(owned.bytes()).all(same))
}

/// Seconds a client should wait after a 503, and the least time between two calls about a Cell
/// that is served from its last good answer.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 5;

/// Milliseconds since an epoch of the host's choice; the router has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        self.plus(u64::from(seconds) * 1000)
    }

    /// The moment `milliseconds` later.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds since `earlier`; none if that is still to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the caller does next.
#[derive(Debug)]
pub enum Step {
    /// Send the request on.
    Continue(Decision),
    /// POST these, then resume with an answer for each, in order.
    Ask(Vec<Call>, Pending),
    /// Answer here; no Cell sees the request.
    Reply(LocalReply),
}

/// One call to the Topology Service, to [`crate::CLASSIFY_PATH`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The body, JSON.
    pub body: String,
    /// Milliseconds to wait before it is sent.
    pub delay_ms: u64,
    /// Milliseconds to wait for its answer once it is sent.
    pub timeout_ms: u64,
}

/// Where a request goes and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Envoy's cluster: the address the Topology Service returned, or the rule's own.
    pub cluster: String,
    /// The id of the rule that decided.
    pub rule: String,
    /// That rule's place in the ruleset, from 0.
    pub rule_number: usize,
    /// What the rule did.
    pub action: RuleAction,
    /// The type or claim that was classified; none for `proxy`.
    pub kind: Option<String>,
    /// The key by which the Cell's origins share the work.
    pub hash_key: Option<Rc<str>>,
    /// The path the Cell sees instead of the client's; the query stays.
    pub rewrite_path: Option<String>,
    /// Where the answer came from.
    pub source: Source,
}

impl Decision {
    /// The request headers that carry the decision to Envoy and the Cell.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [(CELL_CLUSTER, self.cluster.as_str()), (RULE_ACTION, self.action.as_str())];
        let kind = self.kind.iter().map(|kind| (RULE_TYPE, kind.as_str()));
        let hash_key = self.hash_key.iter().map(|key| (CELL_HASH_KEY, key.as_ref()));
        always.into_iter().chain(kind).chain(hash_key)
    }
}

/// What the deciding rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Asked the Topology Service.
    Classify,
    /// Named a fixed address.
    Proxy,
}

impl RuleAction {
    /// The value of [`RULE_ACTION`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Proxy => "proxy",
        }
    }
}

/// Where a decision's Cell came from, by the trouble taken: of several answers the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The ruleset itself.
    Ruleset,
    /// A fresh answer from the cache.
    Cache,
    /// An answer from the cache that expired and is asked for anew meanwhile.
    Revalidating,
    /// A call made for this request.
    Service,
    /// The last good answer, for the Topology Service is unavailable.
    Stale,
}

impl Source {
    /// Each of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Ruleset, Self::Cache, Self::Revalidating, Self::Service, Self::Stale];

    /// For logs, metrics and case files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ruleset => "ruleset",
            Self::Cache => "cache",
            Self::Revalidating => "revalidating",
            Self::Service => "service",
            Self::Stale => "stale",
        }
    }
}

/// Why the edge answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// More than one credential: edge and Cell could each believe another.
    AmbiguousCredentials,
    /// More than one host.
    AmbiguousHost,
    /// A request target that is no printable ASCII.
    MalformedTarget,
    /// A path below `/v2/` with what no name, tag or digest holds.
    MalformedName,
    /// Namespaces or organizations of several Cells in one request.
    SeveralCells,
    /// More distinct namespaces or organizations than may be asked for.
    TooManyNamespaces,
    /// The Topology Service cannot say, and no good answer is left.
    Unavailable,
    /// No rule found a Cell, not even the last.
    NoCell,
}

impl Refusal {
    /// Each of them, in order.
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

    /// For logs, metrics and case files.
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
            Self::AmbiguousCredentials => "send no credential header twice",
            Self::AmbiguousHost => "send exactly one Host",
            Self::MalformedTarget => "the request target must be printable ASCII",
            Self::MalformedName => "the path holds characters no repository, tag or digest has",
            Self::SeveralCells => {
                "what the request names belongs to different Cells; ask for each Cell's part separately"
            }
            Self::TooManyNamespaces => "the request names too many namespaces or organizations",
            Self::Unavailable => "the Cell of this request cannot be determined now; retry",
            Self::NoCell => "no Cell serves this request now; retry",
        }
    }
}

/// An answer given at the edge, in the registry's error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// Why.
    pub refusal: Refusal,
    /// The id of the rule that refused, if one did.
    pub rule: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl From<Refusal> for LocalReply {
    fn from(refusal: Refusal) -> Self {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("docker-distribution-api-version", "registry/2.0".to_owned()),
        ];
        if refusal.status() == 503 {
            headers.push(("retry-after", RETRY_AFTER_SECONDS.to_string()));
        }
        let body = envelope(refusal.code(), refusal.message());
        Self { refusal, rule: None, status: refusal.status(), headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_says_when_to_retry_and_a_400_does_not() {
        let headers = |refusal| {
            let reply = LocalReply::from(refusal);
            (reply.status, reply.headers.iter().any(|(name, _)| *name == "retry-after"))
        };
        assert_eq!(headers(Refusal::Unavailable), (503, true));
        assert_eq!(headers(Refusal::SeveralCells), (400, false));
    }

    #[test]
    fn owned_headers_are_known_in_any_spelling() {
        for name in ["x-cell", "X-Cell", "x_cell", "x-cell_hash-key", "x_forwarded_host"] {
            assert!(is_owned_header(name), "{name}");
        }
        for name in ["x-cells", "x-cel", "x--cell", "x-forwarded-for", ""] {
            assert!(!is_owned_header(name), "{name}");
        }
    }

    #[test]
    fn the_body_is_the_registry_envelope() {
        let reply = LocalReply::from(Refusal::TooManyNamespaces);
        assert!(reply.body.starts_with(r#"{"errors":[{"code":"UNSUPPORTED","message":"#));
    }
}
