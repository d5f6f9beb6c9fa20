//! The services a token can be for.

use strum::{EnumString, IntoStaticStr};

/// A service that accepts this Cell's tokens: the `service` of the token endpoint and the `aud` of the
/// JWTs, as GitLab spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Service {
    /// The origin itself.
    DependencyProxy,
    /// The Cell's container registry, which verifies the tokens with the Cell's public key.
    ContainerRegistry,
}

impl Service {
    /// Returns the service's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
