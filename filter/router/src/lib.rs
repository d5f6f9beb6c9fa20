//! Decides which Cell a docker request belongs to. The crate is pure: it performs no I/O and reads no
//! clock.
//!
//! A caller creates a [`Router`] from the filter's JSON configuration, passes it each [`Request`], and
//! carries out the [`Step`] that it returns. A request passes through these modules:
//!
//! 1. `reject` answers requests that the edge and a Cell could interpret differently with 400.
//! 2. `rules` are tried in order. All matchers of a rule must hold, its transforms decode tokens and
//!    scopes into variables (with the crate `gitlab`), and the variables it requires must exist.
//! 3. `classify` turns the rule's entries into queries to the Topology Service. The `cache` answers
//!    them, or the router returns calls, and the request waits as a [`Pending`] until
//!    [`Router::resume`].
//! 4. A Cell that was found becomes a [`Decision`]. "Not found" leads to the next query and the next
//!    rule. An unavailable service does not: the last good response is served, or the call is retried
//!    while time is left, or the edge responds with 503.
//!
//! [`Router::take_stats`] returns what a worker counted; [`Router::take_refreshes`] returns calls that
//! revalidate expired cache entries in the background.
//!
//! The modules `cases`, `explain`, `lint`, `schema` and `install` are for the authors of rules and for
//! the `ruleset` command. Each is behind a feature, and none is part of the filter.
#![forbid(unsafe_code)]

mod cache;
#[cfg(feature = "cases")]
pub mod cases;
mod classify;
pub mod config;
mod decision;
#[cfg(feature = "cases")]
pub mod explain;
#[cfg(feature = "install")]
pub mod install;
mod reject;
mod reply;
mod request;
mod router;
mod rules;
mod stats;
mod time;

pub use cache::SharedStore;
pub use classify::{CLASSIFY_PATH, CallError, CallOutcome, CallResponse, CallResult};
pub use config::ConfigError;
pub use decision::{
    CELL, CELL_CLUSTER, CELL_HASH_KEY, CELL_RULE, Decision, FORWARDED_HOST, RULE_ACTION, RULE_TYPE,
    RuleAction, Source, is_owned_header,
};
pub use reply::{LocalReply, Rejection};
pub use request::{Headers, Request};
pub use router::{Call, Pending, Router, Step};
pub use rules::Ruleset;
#[cfg(feature = "cases")]
pub use rules::lint;
#[cfg(feature = "schema")]
pub use rules::schema;
pub use stats::{Availability, CacheLookup, Stats};
pub use time::Millis;
