//! The paths of pull requests below a repository name (OCI distribution spec, "Endpoints").

use std::fmt;

use crate::digest::{Digest, DigestError};
use crate::reference::{Reference, ReferenceError};

/// A pull endpoint of a repository. `Display` writes the path below the name; [`split`] parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `manifests/<reference>`
    Manifest(Reference),
    /// `blobs/<digest>`
    Blob(Digest),
    /// `tags/list`
    Tags,
    /// `referrers/<digest>`
    Referrers(Digest),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(reference) => write!(f, "manifests/{reference}"),
            Self::Blob(digest) => write!(f, "blobs/{digest}"),
            Self::Tags => f.write_str("tags/list"),
            Self::Referrers(digest) => write!(f, "referrers/{digest}"),
        }
    }
}

/// The reason why a path of an endpoint is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The manifest's reference is neither a tag nor a digest.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest of the blob or subject is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Splits `<name>/manifests/<reference>` and the other endpoints' paths into name and endpoint. The
/// last two components decide, so a repository's name may contain `manifests`. `None`: the path is
/// not a pull endpoint.
#[must_use]
pub fn split(path: &str) -> Option<(&str, Result<Endpoint, EndpointError>)> {
    let (rest, last) = path.rsplit_once('/')?;
    let (name, verb) = rest.rsplit_once('/')?;
    let endpoint = match verb {
        "manifests" => last.parse().map(Endpoint::Manifest).map_err(EndpointError::from),
        "blobs" => last.parse().map(Endpoint::Blob).map_err(EndpointError::from),
        "referrers" => last.parse().map(Endpoint::Referrers).map_err(EndpointError::from),
        "tags" if last == "list" => Ok(Endpoint::Tags),
        _ => return None,
    };
    Some((name, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoints() -> impl Strategy<Value = Endpoint> {
        let digest = any::<Vec<u8>>().prop_map(|bytes| Digest::of(&bytes));
        let tag = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}"
            .prop_map(|text| Endpoint::Manifest(text.parse().unwrap()));
        prop_oneof![
            tag,
            digest.clone().prop_map(|digest| Endpoint::Manifest(Reference::Digest(digest))),
            digest.clone().prop_map(Endpoint::Blob),
            digest.prop_map(Endpoint::Referrers),
            Just(Endpoint::Tags),
        ]
    }

    proptest! {
        #[test]
        fn a_formatted_path_splits_back_into_its_parts(
            name in "[a-z0-9]{1,8}(/(manifests|blobs|tags|[a-z0-9]{1,8})){0,4}",
            endpoint in endpoints(),
        ) {
            let path = format!("{name}/{endpoint}");
            prop_assert_eq!(split(&path), Some((name.as_str(), Ok(endpoint))));
        }
    }

    #[test]
    fn uploads_and_other_paths_are_not_pull_endpoints() {
        for path in ["", "a", "a/tags", "a/tags/all", "a/blobs/uploads/", "manifests/latest"] {
            assert!(split(path).is_none_or(|(_, endpoint)| endpoint.is_err()), "{path}");
        }
    }
}
