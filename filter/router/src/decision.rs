//! Decisions: where a request goes, why, and the headers that carry the decision.

use std::rc::Rc;

/// The request header from which Envoy's route takes the cluster.
pub const CELL_CLUSTER: &str = "x-cell-cluster";
/// The request header that Envoy's ring hash reads.
pub const CELL_HASH_KEY: &str = "x-cell-hash-key";
/// Response header: the chosen cluster.
pub const CELL: &str = "x-cell";
/// Response header: the id of the rule that chose the cluster.
pub const CELL_RULE: &str = "x-cell-rule";
/// `classify` or `proxy`; Cells count requests by it.
pub const RULE_ACTION: &str = "x-gitlab-http-router-rule-action";
/// The classified type or claim.
pub const RULE_TYPE: &str = "x-gitlab-http-router-rule-type";
/// The authority the client used; a Cell's ingress treats it as the host.
pub const FORWARDED_HOST: &str = "x-forwarded-host";

const OWNED_HEADERS: [&str; 7] =
    [CELL_CLUSTER, CELL_HASH_KEY, CELL, CELL_RULE, RULE_ACTION, RULE_TYPE, FORWARDED_HOST];

/// Returns whether only the edge may set this header, which makes an inbound copy a forgery. `_` is
/// treated as `-` because many servers do not distinguish them.
#[must_use]
pub fn is_owned_header(name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b'_' && b == b'-' || a.eq_ignore_ascii_case(&b);
    let equal =
        |owned: &&str| name.len() == owned.len() && name.bytes().zip(owned.bytes()).all(same);
    OWNED_HEADERS.iter().any(equal)
}

/// Where a request goes and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The name of Envoy's cluster: the address from the Topology Service, or the rule's own.
    pub cluster: String,
    /// The id of the deciding rule.
    pub rule: String,
    /// The position of that rule in the ruleset, from 0.
    pub rule_number: usize,
    /// The action of that rule.
    pub action: RuleAction,
    /// The classified type or claim; `None` for `proxy`.
    pub kind: Option<String>,
    /// The key that selects one of a Cell's origins.
    pub hash_key: Option<Rc<str>>,
    /// The path that replaces the client's; the query is kept.
    pub rewrite_path: Option<String>,
    /// Where the Cell's address came from.
    pub source: Source,
}

impl Decision {
    /// Returns the request headers that carry the decision to Envoy and the Cell.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [(CELL_CLUSTER, self.cluster.as_str()), (RULE_ACTION, self.action.as_str())];
        let kind = self.kind.iter().map(|kind| (RULE_TYPE, kind.as_str()));
        let hash_key = self.hash_key.iter().map(|key| (CELL_HASH_KEY, key.as_ref()));
        always.into_iter().chain(kind).chain(hash_key)
    }
}

/// The action of the deciding rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// The rule classified the request through the Topology Service.
    Classify,
    /// The rule has a fixed address.
    Proxy,
}

impl RuleAction {
    /// Returns the value of [`RULE_ACTION`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Proxy => "proxy",
        }
    }
}

/// Where the address of a decision came from, ordered by cost. A decision based on several
/// classifications reports the most expensive one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The ruleset itself.
    Ruleset,
    /// A fresh cache entry.
    Cache,
    /// An expired cache entry that is being revalidated.
    Revalidating,
    /// A call made for this request.
    Service,
    /// The last good response, because the Topology Service is unavailable.
    Stale,
}

impl Source {
    /// All sources, in order.
    pub const ALL: [Self; 5] =
        [Self::Ruleset, Self::Cache, Self::Revalidating, Self::Service, Self::Stale];

    /// Returns the name used in logs, metrics and case files.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_headers_are_recognised_in_any_spelling() {
        for name in ["x-cell", "X-Cell", "x_cell", "x-cell_hash-key", "x_forwarded_host"] {
            assert!(is_owned_header(name), "{name}");
        }
        for name in ["x-cells", "x-cel", "x--cell", "x-forwarded-for", ""] {
            assert!(!is_owned_header(name), "{name}");
        }
    }
}
