//! An authenticated user.

use std::sync::Arc;

use crate::access::UserId;

/// The organization of every group and user of a Cell, until organizations are modelled.
pub(super) const DEFAULT_ORGANIZATION: u64 = 1;

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's key in this Cell.
    pub user: UserId,
    /// The user's name.
    pub username: Arc<str>,
}
