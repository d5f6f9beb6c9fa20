//! Who may do what. Pure: the facts come in, a verdict goes out.
//! Source: GitLab's "Roles and permissions".

use crate::db::groups::{Access, GroupId, Role, Visibility};

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

/// Whether a pull through the group's dependency proxy is allowed; every member may.
#[must_use]
pub fn decide(access: Option<Access>) -> Verdict {
    match access {
        Some(Access { role: Some(_), enabled: true, group, .. }) => Verdict::Allow(group),
        Some(Access { role: Some(_), enabled: false, .. }) => Verdict::Deny(Denial::Disabled),
        Some(Access { role: None, .. }) | None => Verdict::Deny(Denial::NotVisible),
    }
}

/// Which of these actions on a repository of the container registry are allowed: `pull`, `push`,
/// `delete`, and `*` for whatever the registry knows besides. No group, no action.
#[must_use]
pub fn allowed(access: Option<Access>, asked: &[String]) -> Vec<String> {
    let Some(access) = access else { return Vec::new() };
    asked.iter().filter(|action| may(&access, action)).cloned().collect()
}

fn may(access: &Access, action: &str) -> bool {
    let least = match action {
        "pull" if access.visibility == Visibility::Public => return true,
        "pull" => Role::Reporter,
        "push" => Role::Developer,
        "delete" | "*" => Role::Maintainer,
        _ => return false,
    };
    access.role.is_some_and(|role| role >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(7);

    fn access(role: Option<Role>, visibility: Visibility) -> Access {
        Access { group: GROUP, enabled: true, visibility, role }
    }

    #[test]
    fn only_members_of_an_enabled_group_pull_through_it() {
        let decide =
            |role, enabled| decide(Some(Access { enabled, ..access(role, Visibility::Public) }));
        assert_eq!(decide(Some(Role::Guest), true), Verdict::Allow(GROUP));
        assert_eq!(decide(Some(Role::Guest), false), Verdict::Deny(Denial::Disabled));
        assert_eq!(decide(None, false), Verdict::Deny(Denial::NotVisible));
        assert_eq!(decide(None, true), super::decide(None), "a private group looks like none");
    }

    #[test]
    fn each_role_adds_an_action_on_the_registry() {
        let asked = ["pull", "push", "delete", "*", "admin"].map(str::to_owned);
        let roles = [
            (None, 0),
            (Some(Role::Guest), 0),
            (Some(Role::Reporter), 1),
            (Some(Role::Developer), 2),
            (Some(Role::Maintainer), 4),
            (Some(Role::Owner), 4),
        ];
        for (role, count) in roles {
            let expected: Vec<_> = asked.iter().take(count).cloned().collect();
            assert_eq!(allowed(Some(access(role, Visibility::Private)), &asked), expected);
        }
        assert!(allowed(None, &asked).is_empty());
    }

    #[test]
    fn from_a_public_group_anybody_pulls_and_no_more() {
        let asked = ["push", "pull", "delete", "*"].map(str::to_owned);
        for role in [None, Some(Role::Guest)] {
            assert_eq!(allowed(Some(access(role, Visibility::Public)), &asked), ["pull"]);
        }
    }
}
