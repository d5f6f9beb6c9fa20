//! Decides which Cell a docker request belongs to. Pure: no I/O, no clock.
//!
//! A caller builds a [`Router`] from the filter's JSON configuration, shows it each [`Request`] and
//! carries out the [`Step`] that comes back. The way of a request through here:
//!
//! 1. `refusal`: what edge and Cell could read differently is answered with 400.
//! 2. `ruleset`: rules are tried in order. A rule's matchers must all hold (`matcher`), its
//!    transforms decode tokens and scopes (`transform`, `scope`, the crate `gitlab`) into variables
//!    (`variables`), and what it wants to exist must exist.
//! 3. `classify`: the rule's questions to the Topology Service are answered by the `cache` or
//!    become calls; the request waits as a [`Pending`] and [`Router::resume`] goes on.
//! 4. `decision`: a Cell was found, or the next question and the next rule are tried. Not found is
//!    not unavailable: the former goes on, the latter uses the last good answer, asks again while
//!    there is time, or answers 503.
//!
//! What a worker counted on the way is a [`Tally`]; answers that expired are asked for beside all
//! requests ([`Router::take_refreshes`]).
//!
//! For those who write rules there are `cases`, `explain`, `lint` and `schema`, each behind a feature
//! and none in the filter; the `ruleset` command makes them of use.
#![forbid(unsafe_code)]

mod cache;
#[cfg(feature = "cases")]
pub mod cases;
mod classify;
pub mod config;
mod decision;
#[cfg(feature = "cases")]
pub mod explain;
mod generations;
#[cfg(feature = "install")]
pub mod install;
#[cfg(feature = "cases")]
pub mod lint;
mod matcher;
mod pattern;
mod refusal;
mod request;
mod router;
mod ruleset;
#[cfg(feature = "schema")]
pub mod schema;
mod scope;
mod shared;
mod tally;
mod transform;
mod variables;

pub use classify::{CLASSIFY_PATH, CallError, CallOutcome, CallResult, HttpAnswer};
pub use config::ConfigError;
pub use decision::{
    CELL, CELL_CLUSTER, CELL_HASH_KEY, CELL_RULE, Call, Decision, FORWARDED_HOST, LocalReply,
    Millis, RULE_ACTION, RULE_TYPE, Refusal, RuleAction, Source, Step, is_owned_header,
};
pub use request::{Headers, Request};
pub use router::{Pending, Router};
pub use ruleset::Ruleset;
pub use shared::Shared;
pub use tally::{Availability, Lookup, Tally};
