//! Requests no rule should see: those that the edge and a Cell could read differently.

use crate::decision::Refusal;
use crate::request::Request;

/// The first reason to refuse, if any.
pub(crate) fn check(request: &Request<'_>) -> Option<Refusal> {
    if !one_credential(request) {
        Some(Refusal::AmbiguousCredentials)
    } else if !one_host(request) {
        Some(Refusal::AmbiguousHost)
    } else if !request.header(":path").flatten().all(u8::is_ascii_graphic) {
        Some(Refusal::MalformedTarget)
    } else if !names_are_plain(request.path()) {
        Some(Refusal::MalformedName)
    } else {
        None
    }
}

/// Where a client sends a credential.
const CREDENTIALS: [&str; 4] = ["authorization", "private-token", "job-token", "runner-token"];

/// Envoy joins repeated headers it knows by commas, and no credential holds one. Credentials of
/// different kinds may come together: which counts is the ruleset's matter.
fn one_credential(request: &Request<'_>) -> bool {
    CREDENTIALS.iter().all(|name| {
        let mut values = request.header(name);
        let first = values.next().unwrap_or_default();
        values.next().is_none() && !first.contains(&b',')
    })
}

/// `host` may repeat `:authority`, which some HTTP/2 clients do, but not contradict it.
fn one_host(request: &Request<'_>) -> bool {
    let authority = request.authority();
    let same = |host: &[u8]| host.eq_ignore_ascii_case(authority);
    !authority.contains(&b',')
        && request.header(":authority").all(same)
        && request.header("host").all(same)
}

/// Below these stand repositories: the distribution specification's endpoints and GitLab's own.
const NAMED: [&[u8]; 3] = [b"/v2/", b"/gitlab/v1/repositories/", b"/gitlab/v1/repository-paths/"];

/// There only the alphabet of names, tags and digests may stand: no escape, dot segment or doubled
/// slash that one side resolves and the other does not. A trailing slash may (`uploads/`).
fn names_are_plain(path: &[u8]) -> bool {
    let Some(rest) = NAMED.iter().find_map(|base| path.strip_prefix(*base)) else { return true };
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

    fn refusal(headers: &[(&str, &[u8])]) -> Option<Refusal> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        check(&Request::new(&headers))
    }

    #[test]
    fn two_credentials_are_refused_even_joined() {
        let expected = Some(Refusal::AmbiguousCredentials);
        let (basic, bearer): (&[u8], &[u8]) = (b"Basic YTpi", b"Bearer x");
        assert_eq!(refusal(&[("authorization", basic), ("authorization", bearer)]), expected);
        assert_eq!(refusal(&[("authorization", basic), ("authorization", basic)]), expected);
        assert_eq!(refusal(&[("authorization", b"Basic YTpi,Bearer x")]), expected);
        assert_eq!(refusal(&[("private-token", b"a"), ("private-token", b"b")]), expected);
        assert_eq!(refusal(&[("job-token", b"a,b")]), expected);
        assert_eq!(refusal(&[("authorization", basic)]), None);
        assert_eq!(refusal(&[("authorization", basic), ("private-token", b"a")]), None);
    }

    #[test]
    fn hosts_must_agree() {
        let expected = Some(Refusal::AmbiguousHost);
        assert_eq!(refusal(&[(":authority", b"a"), ("host", b"b")]), expected);
        assert_eq!(refusal(&[(":authority", b"a,b")]), expected);
        assert_eq!(refusal(&[("host", b"a"), ("host", b"b")]), expected);
        assert_eq!(refusal(&[(":authority", b"A"), ("host", b"a")]), None);
    }

    #[test]
    fn the_target_must_be_printable_ascii_and_other_headers_need_not() {
        let expected = Some(Refusal::MalformedTarget);
        assert_eq!(refusal(&[(":path", b"/jwt/auth?scope=\xff")]), expected);
        assert_eq!(refusal(&[(":path", b"/a b")]), expected);
        assert_eq!(refusal(&[(":path", b"/a\0")]), expected);
        assert_eq!(refusal(&[(":path", b"/"), ("user-agent", b"\xff\xfe")]), None);
    }

    #[test]
    fn paths_one_side_could_resolve_are_refused_where_names_stand() {
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
                refusal(&[(":path", path.as_bytes())]),
                Some(Refusal::MalformedName),
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
            assert_eq!(refusal(&[(":path", path.as_bytes())]), None, "{path}");
        }
    }
}
