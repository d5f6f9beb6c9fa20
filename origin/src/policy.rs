//! Who may pull what. Pure: the facts come in, a verdict goes out.

use crate::db::groups::{Access, GroupId};

/// Whether a user may pull through a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, as this group.
    Allow(GroupId),
    /// No.
    Deny(Denial),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// There is no such group, or the user is no member: the two must look alike, or the names of
    /// private groups could be guessed.
    NotVisible,
    /// The group's dependency proxy is switched off; members may know.
    Disabled,
}

/// Decides from what the database knows of the user and the group.
#[must_use]
pub fn decide(access: Option<Access>) -> Verdict {
    match access {
        Some(Access { member: true, enabled: true, group }) => Verdict::Allow(group),
        Some(Access { member: true, enabled: false, .. }) => Verdict::Deny(Denial::Disabled),
        Some(Access { member: false, .. }) | None => Verdict::Deny(Denial::NotVisible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_of_an_enabled_group_pull() {
        let group = GroupId(7);
        let access = |member, enabled| decide(Some(Access { group, enabled, member }));
        assert_eq!(access(true, true), Verdict::Allow(group));
        assert_eq!(access(true, false), Verdict::Deny(Denial::Disabled));
        assert_eq!(access(false, false), Verdict::Deny(Denial::NotVisible));
        assert_eq!(access(false, true), decide(None), "a private group cannot be told from none");
    }
}
