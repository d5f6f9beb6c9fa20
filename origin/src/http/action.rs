//! The registry API request that a method and a path describe.

use axum::http::Method;
use gitlab::group_path::GroupPath;
use oci::{Digest, Endpoint, Reference, RepositoryName, endpoint};

use super::error::Error;

/// Separates a group's path from an image's name.
const MARKER: &str = "/dependency_proxy/containers/";

/// A request to the registry API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `GET /v2/`: checks a login.
    Ping,
    /// Pulls a part of an image.
    Pull {
        /// The group that pulls.
        group: GroupPath,
        /// The image as the client names it; a `library/` prefix may be missing.
        image: RepositoryName,
        /// The part of the image.
        target: Target,
    },
}

/// A part of an image, or a listing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A manifest.
    Manifest(Reference),
    /// A blob.
    Blob(Digest),
    /// The list of tags.
    Tags,
    /// The manifests that refer to this one.
    Referrers(Digest),
}

impl Action {
    /// Parses a method and a path. Percent-encoding is not decoded, as no valid name needs it.
    ///
    /// # Errors
    /// The path or the method is not part of the API, or a name or reference is malformed.
    pub fn parse(method: &Method, path: &str) -> Result<Self, Error> {
        let rest = path.strip_prefix("/v2").ok_or(Error::NoSuchPath)?;
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        if matches!(rest, "" | "/") {
            return if is_read { Ok(Self::Ping) } else { Err(READ_ONLY) };
        }
        let rest = rest.strip_prefix('/').ok_or(Error::NoSuchPath)?;
        let (group, rest) = rest.split_once(MARKER).ok_or(Error::NoSuchPath)?;
        let (image, endpoint) = match endpoint::split(rest) {
            Some(split) if is_read => split,
            _ if is_read => return Err(Error::NoSuchPath),
            _ => return Err(READ_ONLY),
        };
        let group = group.parse().map_err(|_| Error::NameInvalid(group.to_owned()))?;
        let image = image.parse().map_err(|_| Error::NameInvalid(image.to_owned()))?;
        let target = match endpoint? {
            Endpoint::Manifest(reference) => Target::Manifest(reference),
            Endpoint::Blob(digest) => Target::Blob(digest),
            Endpoint::Tags => Target::Tags,
            Endpoint::Referrers(subject) => Target::Referrers(subject),
        };
        Ok(Self::Pull { group, image, target })
    }

    /// Returns the repository in the path of a tag list, as the client spells it.
    #[must_use]
    pub fn repository(path: &str) -> &str {
        let name = path.strip_prefix("/v2/").unwrap_or(path);
        name.strip_suffix("/tags/list").unwrap_or(name)
    }
}

const READ_ONLY: Error = Error::MethodNotAllowed("GET, HEAD");

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<Action, Error> {
        Action::parse(&Method::GET, path)
    }

    fn pull(group: &str, image: &str, target: Target) -> Action {
        let (group, image) = (group.parse().unwrap(), image.parse().unwrap());
        Action::Pull { group, image, target }
    }

    #[test]
    fn groups_and_images_may_be_nested() {
        let path = "/v2/acme/team/dependency_proxy/containers/org/app/manifests/v1";
        let target = Target::Manifest("v1".parse().unwrap());
        assert_eq!(get(path).unwrap(), pull("acme/team", "org/app", target));
    }

    #[test]
    fn a_blob_is_requested_by_digest() {
        let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{DIGEST}");
        let target = Target::Blob(DIGEST.parse().unwrap());
        assert_eq!(get(&path).unwrap(), pull("acme", "alpine", target));
    }

    #[test]
    fn tags_are_listed_per_image_and_referrers_per_manifest() {
        let root = "/v2/acme/dependency_proxy/containers/org/app";
        assert_eq!(
            get(&format!("{root}/tags/list")).unwrap(),
            pull("acme", "org/app", Target::Tags)
        );
        let target = Target::Referrers(DIGEST.parse().unwrap());
        let path = format!("{root}/referrers/{DIGEST}");
        assert_eq!(get(&path).unwrap(), pull("acme", "org/app", target));
        let malformed = get(&format!("{root}/referrers/latest"));
        assert!(matches!(malformed, Err(Error::Reference(_))));
    }

    #[test]
    fn an_image_may_be_named_like_an_endpoint() {
        let path = "/v2/acme/dependency_proxy/containers/blobs/manifests/manifests/latest";
        let target = Target::Manifest("latest".parse().unwrap());
        assert_eq!(get(path).unwrap(), pull("acme", "blobs/manifests", target));
    }

    #[test]
    fn the_base_path_may_lack_its_slash() {
        assert_eq!(get("/v2").unwrap(), Action::Ping);
        assert_eq!(get("/v2/").unwrap(), Action::Ping);
    }

    #[test]
    fn paths_outside_the_registry_api_are_not_found() {
        for path in ["/", "/v1/", "/v2x", "/v2/acme", "/v2/_catalog", "/v2/acme/x/manifests/y"] {
            assert!(matches!(get(path), Err(Error::NoSuchPath)), "{path}");
        }
    }

    #[test]
    fn names_that_could_escape_their_path_segment_are_refused() {
        for (group, image) in [
            ("..", "alpine"),
            ("acme/..", "alpine"),
            ("acme%2f..", "alpine"),
            ("acme", "../alpine"),
            ("acme", "al%2fpine"),
            ("acme", "Alpine"),
            ("acme;x", "alpine"),
        ] {
            let path = format!("/v2/{group}/dependency_proxy/containers/{image}/manifests/latest");
            assert!(matches!(get(&path), Err(Error::NameInvalid(_))), "{path}");
        }
    }

    #[test]
    fn a_malformed_reference_differs_from_an_unknown_path() {
        let path = |end: &str| format!("/v2/acme/dependency_proxy/containers/a/{end}");
        for end in ["manifests/sha256:totallywrong", "manifests/.", "blobs/latest"] {
            assert!(matches!(get(&path(end)), Err(Error::Reference(_))), "{end}");
        }
    }

    #[test]
    fn write_methods_are_refused() {
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
            let path = "/v2/acme/dependency_proxy/containers/a/manifests/latest";
            let refused = Action::parse(&method, path);
            assert!(matches!(refused, Err(Error::MethodNotAllowed("GET, HEAD"))), "{method}");
        }
    }
}
