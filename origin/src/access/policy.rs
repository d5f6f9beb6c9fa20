//! The rules. Source: GitLab, "Roles and permissions".

use super::facts::{Access, GroupId};
use super::role::{Role, Visibility};

/// Why a pull through the dependency proxy is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The group does not exist, or the user is not a member. The two must look alike: a difference
    /// would let clients guess the names of private groups.
    NotVisible,
    /// The group's dependency proxy is disabled, which its members may know.
    Disabled,
}

/// Authorises a pull through the group's dependency proxy, which every member may do.
///
/// # Errors
/// A [`Denial`]. Pass `None` for a group that does not exist.
pub fn authorize_pull(access: Option<Access>) -> Result<GroupId, Denial> {
    match access {
        Some(Access { role: Some(_), enabled: true, group, .. }) => Ok(group),
        Some(Access { role: Some(_), enabled: false, .. }) => Err(Denial::Disabled),
        Some(Access { role: None, .. }) | None => Err(Denial::NotVisible),
    }
}

/// Returns the requested actions that are allowed on a repository of the container registry. Known
/// actions are `pull`, `push`, `delete` and `*` (every other action the registry has).
#[must_use]
pub fn allowed_actions(access: Option<Access>, requested: &[String]) -> Vec<String> {
    let Some(access) = access else { return Vec::new() };
    requested.iter().filter(|action| is_allowed(&access, action)).cloned().collect()
}

fn is_allowed(access: &Access, action: &str) -> bool {
    let required = match action {
        "pull" if access.visibility == Visibility::Public => return true,
        "pull" => Role::Reporter,
        "push" => Role::Developer,
        "delete" | "*" => Role::Maintainer,
        _ => return false,
    };
    access.role.is_some_and(|role| role >= required)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(7);

    fn access(role: Option<Role>, visibility: Visibility) -> Access {
        Access { group: GROUP, enabled: true, visibility, role }
    }

    #[test]
    fn only_members_of_a_group_with_an_enabled_proxy_pull_through_it() {
        let decide = |role, enabled| {
            authorize_pull(Some(Access { enabled, ..access(role, Visibility::Public) }))
        };
        assert_eq!(decide(Some(Role::Guest), true), Ok(GROUP));
        assert_eq!(decide(Some(Role::Guest), false), Err(Denial::Disabled));
        assert_eq!(decide(None, false), Err(Denial::NotVisible));
        assert_eq!(decide(None, true), authorize_pull(None), "a non-member cannot tell them apart");
    }

    #[test]
    fn each_role_adds_an_action_on_the_container_registry() {
        let requested = ["pull", "push", "delete", "*", "admin"].map(str::to_owned);
        let roles = [
            (None, 0),
            (Some(Role::Guest), 0),
            (Some(Role::Reporter), 1),
            (Some(Role::Developer), 2),
            (Some(Role::Maintainer), 4),
            (Some(Role::Owner), 4),
        ];
        for (role, count) in roles {
            let expected: Vec<_> = requested.iter().take(count).cloned().collect();
            let access = access(role, Visibility::Private);
            assert_eq!(allowed_actions(Some(access), &requested), expected);
        }
        assert!(allowed_actions(None, &requested).is_empty());
    }

    #[test]
    fn everyone_may_pull_from_a_public_group_and_nothing_else() {
        let requested = ["push", "pull", "delete", "*"].map(str::to_owned);
        for role in [None, Some(Role::Guest)] {
            let access = access(role, Visibility::Public);
            assert_eq!(allowed_actions(Some(access), &requested), ["pull"]);
        }
    }
}
