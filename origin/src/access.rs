//! Access control: roles, the rules, and the check that every pull passes.
//!
//! This module knows neither the database nor HTTP. The database implements [`Memberships`], and
//! the callers turn an [`AccessError`] into their own response.

mod check;
mod facts;
mod policy;
mod role;

pub use check::{AccessCheck, AccessError, Memberships};
pub use facts::{Access, GroupId, UserId};
pub use policy::{Denial, allowed_actions, authorize_pull};
pub use role::{Role, Visibility};
