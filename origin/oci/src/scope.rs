//! Access scopes of the token protocol (CNCF distribution, "Token Scope Documentation").

/// One scope: `type:name:actions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `repository`, `registry`, …; without a class, as in `repository(plugin)`.
    pub resource_type: String,
    /// The repository's full name.
    pub name: String,
    /// `pull`, `push`, `delete` or `*`, in the requested order.
    pub actions: Vec<String>,
}

impl Scope {
    /// Whether the resource is a repository rather than the registry's catalogue.
    #[must_use]
    pub fn is_repository(&self) -> bool {
        self.resource_type == "repository"
    }

    /// Whether one of the actions modifies the repository.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.actions.iter().any(|action| matches!(action.as_str(), "push" | "delete" | "*"))
    }

    /// Returns the first path component of the name, the only one that the Topology Service knows.
    #[must_use]
    pub fn top_level(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Splits type and actions off at both ends, as a name may contain a colon (a registry's port).
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

/// Parses the values of `scope` parameters. Clients repeat the parameter (docker, containerd with GET) or
/// join scopes by spaces (containerd with POST). Malformed scopes are dropped.
#[must_use]
pub fn parse_scopes<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<Scope> {
    values.into_iter().flat_map(str::split_whitespace).filter_map(Scope::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeated_and_joined_scopes_are_equivalent() {
        let joined = parse_scopes(["repository:a/b:pull repository:c:push,pull"]);
        let repeated = parse_scopes(["repository:a/b:pull", "repository:c:push,pull"]);
        assert_eq!(joined, repeated);
        assert_eq!(joined[1].actions, ["push", "pull"]);
    }

    #[test]
    fn the_top_level_is_the_first_component_of_the_name() {
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
    fn a_class_is_dropped_and_a_port_is_kept() {
        let scopes = parse_scopes(["repository(plugin):host:5000/a:pull"]);
        assert_eq!(scopes[0].resource_type, "repository");
        assert_eq!(scopes[0].name, "host:5000/a");
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".{0,200}") {
            for scope in parse_scopes([text.as_str()]) {
                prop_assert!(!scope.name.is_empty());
            }
        }
    }
}
