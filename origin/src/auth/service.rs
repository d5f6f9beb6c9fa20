//! What a token is for: the `service` of the token endpoint, and the `aud` of its JWTs.

/// A service whose tokens this Cell issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// This origin itself.
    DependencyProxy,
    /// The Cell's container registry, which verifies them by this Cell's key.
    ContainerRegistry,
}

impl Service {
    /// As GitLab spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DependencyProxy => "dependency_proxy",
            Self::ContainerRegistry => "container_registry",
        }
    }

    /// The service of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::DependencyProxy, Self::ContainerRegistry]
            .into_iter()
            .find(|service| service.as_str() == name)
    }
}
