//! GitLab's vocabulary, shared by the edge and the origin: routable tokens, CI job tokens, base36
//! ids, the paths of groups, and the shapes of credentials that logs must not show.
//!
//! The crate is pure: it performs no I/O and reads no clock. A token has one parser here, so the
//! edge and the Cell cannot disagree about the Cell it names.
#![forbid(unsafe_code)]

pub mod base36;
pub mod group_path;
pub mod job_token;
pub mod jwt;
pub mod redact;
pub mod token;

pub use token::{RoutableToken, Routing, TokenError};
