//! Access scopes of the token protocol (CNCF distribution, "Token Scope Documentation").

/// One `type:name:actions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `repository`, `registry`, …; a class suffix as in `repository(plugin)` is dropped.
    pub resource_type: String,
    /// The repository's full path, host excluded.
    pub name: String,
    /// `pull`, `push`, `delete`, `*`; in the order asked.
    pub actions: Vec<String>,
}

impl Scope {
    /// Whether it asks for a repository, not for the catalogue.
    #[must_use]
    pub fn is_repository(&self) -> bool {
        self.resource_type == "repository"
    }

    /// Whether any action changes the repository.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.actions.iter().any(|action| matches!(action.as_str(), "push" | "delete" | "*"))
    }

    /// The first path segment of the name: the only one a Topology Service claims.
    #[must_use]
    pub fn top_level(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Names may hold a colon (a registry's port), so type and actions are cut from the ends.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let kind = kind.split('(').next().unwrap_or_default();
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        Some(Self {
            resource_type: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.split(',').filter(|a| !a.is_empty()).map(str::to_owned).collect(),
        })
    }
}

/// Every scope of the `scope` parameters, which clients repeat (docker, containerd by GET) or join
/// by spaces (containerd by POST). What is not `type:name:actions` is dropped.
#[must_use]
pub fn parse_scopes<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<Scope> {
    values.into_iter().flat_map(str::split_whitespace).filter_map(Scope::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeated_and_joined_scopes_read_alike() {
        let joined = parse_scopes(["repository:a/b:pull repository:c:push,pull"]);
        let repeated = parse_scopes(["repository:a/b:pull", "repository:c:push,pull"]);
        assert_eq!(joined, repeated);
        assert_eq!(joined[1].actions, ["push", "pull"]);
    }

    #[test]
    fn the_top_level_is_the_first_segment_only() {
        let scopes = parse_scopes(["repository:acme/team/dependency_proxy/containers/bb:pull"]);
        assert_eq!(scopes[0].top_level(), "acme");
    }

    #[test]
    fn push_delete_and_star_are_writes() {
        for (actions, write) in
            [("pull", false), ("", false), ("pull,push", true), ("delete", true), ("*", true)]
        {
            let scope = &parse_scopes([format!("repository:a:{actions}").as_str()])[0];
            assert_eq!(scope.is_write(), write, "{actions}");
        }
    }

    #[test]
    fn a_class_and_a_port_do_not_confuse() {
        let scopes = parse_scopes(["repository(plugin):host:5000/a:pull"]);
        assert_eq!(scopes[0].resource_type, "repository");
        assert_eq!(scopes[0].name, "host:5000/a");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}") {
            for scope in parse_scopes([text.as_str()]) {
                prop_assert!(!scope.name.is_empty());
            }
        }
    }
}
