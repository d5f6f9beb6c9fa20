//! Which namespaces decide the Cell of a `/jwt/auth` request.

use std::collections::BTreeSet;

use oci::Scope;
use oci::scope::parse_scopes;

/// The distinct top-level namespaces of the deciding repository scopes, sorted: those that write,
/// if any does, else all. A token that may push belongs where the push goes.
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
    fn writes_decide_if_there_are_any_else_pulls_do() {
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
