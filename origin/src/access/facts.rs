//! What the rules need to know about a user and a group.

use super::role::{Role, Visibility};

/// A group's key in this Cell's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub i64);

/// A user's key in this Cell's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

/// A group, and a user's rights in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The group.
    pub group: GroupId,
    /// Whether the group's dependency proxy is enabled.
    pub enabled: bool,
    /// Who may pull from the group's container registry.
    pub visibility: Visibility,
    /// The user's highest role in the group and its ancestors; `None` for a non-member.
    pub role: Option<Role>,
}
