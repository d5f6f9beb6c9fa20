//! Rejects requests that the edge and a Cell could interpret differently, before any rule sees them.

use crate::reply::Rejection;
use crate::request::Request;

/// Returns the first reason to reject the request, if any.
pub(crate) fn check(request: &Request<'_>) -> Option<Rejection> {
    if !one_credential(request) {
        Some(Rejection::AmbiguousCredentials)
    } else if !one_host(request) {
        Some(Rejection::AmbiguousHost)
    } else if !request.header(":path").flatten().all(u8::is_ascii_graphic) {
        Some(Rejection::MalformedTarget)
    } else if !names_are_plain(request.path()) {
        Some(Rejection::MalformedName)
    } else {
        None
    }
}

/// The headers in which a client sends a credential.
const CREDENTIALS: [&str; 4] = ["authorization", "private-token", "job-token", "runner-token"];

/// Envoy joins repeated well-known headers with commas, and no credential contains one. Credentials
/// of different kinds may be sent together; the ruleset determines which one counts.
fn one_credential(request: &Request<'_>) -> bool {
    CREDENTIALS.iter().all(|name| {
        let mut values = request.header(name);
        let first = values.next().unwrap_or_default();
        values.next().is_none() && !first.contains(&b',')
    })
}

/// `host` may repeat `:authority`, as some HTTP/2 clients do, but must not differ from it.
fn one_host(request: &Request<'_>) -> bool {
    let authority = request.authority();
    let same = |host: &[u8]| host.eq_ignore_ascii_case(authority);
    !authority.contains(&b',')
        && request.header(":authority").all(same)
        && request.header("host").all(same)
}

/// The prefixes of paths that contain repository names: the endpoints of the distribution
/// specification and GitLab's own.
const NAMED_PATHS: [&[u8]; 3] =
    [b"/v2/", b"/gitlab/v1/repositories/", b"/gitlab/v1/repository-paths/"];

/// Below those prefixes only the alphabet of names, tags and digests is allowed: one side might
/// resolve an escape, a dot segment or a double slash and the other might not. A trailing slash is
/// allowed because of `uploads/`.
fn names_are_plain(path: &[u8]) -> bool {
    let Some(rest) = NAMED_PATHS.iter().find_map(|base| path.strip_prefix(*base)) else {
        return true;
    };
    if rest.is_empty() {
        return true;
    }
    let rest = rest.strip_suffix(b"/").unwrap_or(rest);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._-:+=".contains(b);
    rest.split(|&b| b == b'/').all(|segment| {
        !segment.is_empty() && segment.iter().all(plain) && !matches!(segment, b"." | b"..")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(headers: &[(&str, &[u8])]) -> Option<Rejection> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        check(&Request::new(&headers))
    }

    #[test]
    fn repeated_credentials_are_rejected_also_if_joined_by_a_comma() {
        let expected = Some(Rejection::AmbiguousCredentials);
        let (basic, bearer): (&[u8], &[u8]) = (b"Basic YTpi", b"Bearer x");
        assert_eq!(rejection(&[("authorization", basic), ("authorization", bearer)]), expected);
        assert_eq!(rejection(&[("authorization", basic), ("authorization", basic)]), expected);
        assert_eq!(rejection(&[("authorization", b"Basic YTpi,Bearer x")]), expected);
        assert_eq!(rejection(&[("private-token", b"a"), ("private-token", b"b")]), expected);
        assert_eq!(rejection(&[("job-token", b"a,b")]), expected);
        assert_eq!(rejection(&[("authorization", basic)]), None);
        assert_eq!(rejection(&[("authorization", basic), ("private-token", b"a")]), None);
    }

    #[test]
    fn different_hosts_are_rejected() {
        let expected = Some(Rejection::AmbiguousHost);
        assert_eq!(rejection(&[(":authority", b"a"), ("host", b"b")]), expected);
        assert_eq!(rejection(&[(":authority", b"a,b")]), expected);
        assert_eq!(rejection(&[("host", b"a"), ("host", b"b")]), expected);
        assert_eq!(rejection(&[(":authority", b"A"), ("host", b"a")]), None);
    }

    #[test]
    fn the_target_must_be_printable_ascii_but_other_headers_need_not() {
        let expected = Some(Rejection::MalformedTarget);
        assert_eq!(rejection(&[(":path", b"/jwt/auth?scope=\xff")]), expected);
        assert_eq!(rejection(&[(":path", b"/a b")]), expected);
        assert_eq!(rejection(&[(":path", b"/a\0")]), expected);
        assert_eq!(rejection(&[(":path", b"/"), ("user-agent", b"\xff\xfe")]), None);
    }

    #[test]
    fn paths_that_one_side_could_normalise_are_rejected_where_they_contain_names() {
        for path in [
            "/v2/acme%2fteam/x",
            "/v2/a/../b",
            "/v2/./a",
            "/v2/a//b",
            "/v2//",
            "/v2//a",
            "/v2/a;b=c/d",
            "/v2/a\\b",
            "/v2/a#b",
            "/v2/a/b//",
            "/gitlab/v1/repositories/a%2fb/",
            "/gitlab/v1/repositories/a/../b/",
            "/gitlab/v1/repositories//",
            "/gitlab/v1/repository-paths/a;b/repositories/list/",
        ] {
            assert_eq!(
                rejection(&[(":path", path.as_bytes())]),
                Some(Rejection::MalformedName),
                "{path}"
            );
        }
        for path in [
            "/v2/",
            "/v2",
            "/",
            "/a%20b;c",
            "/v2/_catalog?n=1&last=%2f",
            "/v2/a/b/blobs/uploads/",
            "/v2/a/b/blobs/sha256:0123",
            "/v2/a/b/manifests/v1.0_x-y",
            "/gitlab/v1/repositories/a/b/tags/list/",
            "/gitlab/v1/",
            "/gitlab/v1/-/blob/main/a%20b",
        ] {
            assert_eq!(rejection(&[(":path", path.as_bytes())]), None, "{path}");
        }
    }
}
