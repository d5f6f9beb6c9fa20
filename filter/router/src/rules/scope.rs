//! The scopes that determine the Cell of a `/jwt/auth` request.

use std::collections::BTreeSet;

use oci::Scope;
use oci::scope::parse_scopes;

/// Returns the distinct top-level namespaces, sorted, of the repository scopes that grant write
/// access or, if none does, of all repository scopes. A token for a push must come from the Cell of
/// the pushed repository.
pub(crate) fn deciding_namespaces<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<String> {
    let mut scopes = parse_scopes(values);
    scopes.retain(Scope::is_repository);
    if scopes.iter().any(Scope::is_write) {
        scopes.retain(Scope::is_write);
    }
    let namespaces: BTreeSet<_> = scopes.iter().map(|scope| scope.top_level().to_owned()).collect();
    namespaces.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_scopes_take_precedence_over_pull_scopes() {
        for (scopes, expected) in [
            (&["repository:a/x:pull"][..], &["a"][..]),
            (&["repository:a/x:pull", "repository:a/y/z:pull"], &["a"]),
            (&["repository:a/x:pull repository:b/x:pull"], &["a", "b"]),
            (&["repository:a/x:pull", "repository:b/x:push,pull"], &["b"]),
            (&["repository:a/x:pull", "repository:b/x:delete"], &["b"]),
            (&["repository:a/x:*", "repository:b/x:push"], &["a", "b"]),
            (&["registry:catalog:*", "repository:a/x:pull"], &["a"]),
            (&["registry:catalog:*"], &[]),
            (&[], &[]),
            (&["nonsense"], &[]),
        ] {
            assert_eq!(deciding_namespaces(scopes.iter().copied()), expected, "{scopes:?}");
        }
    }
}
