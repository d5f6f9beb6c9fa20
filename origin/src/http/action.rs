//! What a request asks of the registry: method and path, read once.

use axum::http::Method;
use oci::{Digest, Endpoint, Reference, RepositoryName, endpoint};

use crate::error::Error;

/// Between a group's path and an image's name.
const MARK: &str = "/dependency_proxy/containers/";

/// A request to the registry API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `GET /v2/`: does this login work?
    Ping,
    /// Something of an image.
    Pull {
        /// The group's full path; lower case is the database's business.
        group: String,
        /// The image as the upstream's repository, without its `library/`.
        image: RepositoryName,
        /// What of it.
        target: Target,
    },
}

/// What of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A manifest.
    Manifest(Reference),
    /// A blob.
    Blob(Digest),
    /// The list of tags.
    Tags,
    /// What refers to a manifest.
    Referrers(Digest),
}

impl Action {
    /// Reads a request line; escapes are not decoded, as no valid name needs one.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], a wrong method, or a malformed name or reference.
    pub fn parse(method: &Method, path: &str) -> Result<Self, Error> {
        let rest = path.strip_prefix("/v2").ok_or(Error::NoSuchPath)?;
        let readable = matches!(*method, Method::GET | Method::HEAD);
        if matches!(rest, "" | "/") {
            return if readable { Ok(Self::Ping) } else { Err(READ_ONLY) };
        }
        let rest = rest.strip_prefix('/').ok_or(Error::NoSuchPath)?;
        let (group, rest) = rest.split_once(MARK).ok_or(Error::NoSuchPath)?;
        let (image, endpoint) = match endpoint::split(rest) {
            Some(split) if readable => split,
            _ if readable => return Err(Error::NoSuchPath),
            _ => return Err(READ_ONLY),
        };
        if !is_group_path(group) {
            return Err(Error::NameInvalid(group.to_owned()));
        }
        let image = image.parse().map_err(|_| Error::NameInvalid(image.to_owned()))?;
        let target = match endpoint? {
            Endpoint::Manifest(reference) => Target::Manifest(reference),
            Endpoint::Blob(digest) => Target::Blob(digest),
            Endpoint::Tags => Target::Tags,
            Endpoint::Referrers(subject) => Target::Referrers(subject),
        };
        Ok(Self::Pull { group: group.to_owned(), image, target })
    }

    /// The repository's name in the path of its list of tags, as the client spelled it.
    #[must_use]
    pub fn repository(path: &str) -> &str {
        let name = path.strip_prefix("/v2/").unwrap_or(path);
        name.strip_suffix("/tags/list").unwrap_or(name)
    }
}

const READ_ONLY: Error = Error::MethodNotAllowed("GET, HEAD");

/// GitLab's rule for the path of a group, a segment at a time.
pub(crate) fn is_group_path(path: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let valid = |segment: &str| {
        segment.starts_with(word) && segment.chars().all(|c| word(c) || c == '-' || c == '.')
    };
    path.len() <= 255 && path.split('/').all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<Action, Error> {
        Action::parse(&Method::GET, path)
    }

    fn pull(group: &str, image: &str, target: Target) -> Action {
        Action::Pull { group: group.into(), image: image.parse().unwrap(), target }
    }

    #[test]
    fn groups_and_images_may_be_nested() {
        let path = "/v2/acme/team/dependency_proxy/containers/org/app/manifests/v1";
        let target = Target::Manifest("v1".parse().unwrap());
        assert_eq!(get(path).unwrap(), pull("acme/team", "org/app", target));
    }

    #[test]
    fn a_blob_is_asked_by_digest() {
        let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{DIGEST}");
        let target = Target::Blob(DIGEST.parse().unwrap());
        assert_eq!(get(&path).unwrap(), pull("acme", "alpine", target));
    }

    #[test]
    fn lists_are_of_an_image_or_of_a_manifest() {
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
    fn an_image_may_be_named_like_a_verb() {
        let path = "/v2/acme/dependency_proxy/containers/blobs/manifests/manifests/latest";
        let target = Target::Manifest("latest".parse().unwrap());
        assert_eq!(get(path).unwrap(), pull("acme", "blobs/manifests", target));
    }

    #[test]
    fn the_base_answers_with_and_without_its_slash() {
        assert_eq!(get("/v2").unwrap(), Action::Ping);
        assert_eq!(get("/v2/").unwrap(), Action::Ping);
    }

    #[test]
    fn what_is_not_of_the_registry_api_is_nowhere() {
        for path in ["/", "/v1/", "/v2x", "/v2/acme", "/v2/_catalog", "/v2/acme/x/manifests/y"] {
            assert!(matches!(get(path), Err(Error::NoSuchPath)), "{path}");
        }
    }

    #[test]
    fn names_that_leave_their_place_are_refused() {
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
    fn a_malformed_reference_is_told_apart_from_a_missing_one() {
        let path = |end: &str| format!("/v2/acme/dependency_proxy/containers/a/{end}");
        for end in ["manifests/sha256:totallywrong", "manifests/.", "blobs/latest"] {
            assert!(matches!(get(&path(end)), Err(Error::Reference(_))), "{end}");
        }
    }

    #[test]
    fn nothing_can_be_written() {
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
            let path = "/v2/acme/dependency_proxy/containers/a/manifests/latest";
            let refused = Action::parse(&method, path);
            assert!(matches!(refused, Err(Error::MethodNotAllowed("GET, HEAD"))), "{method}");
        }
    }
}
