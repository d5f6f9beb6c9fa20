//! The conditions of a rule, all of which must hold.

use super::pattern::Pattern;
use super::variables::Variables;
use crate::request::Request;

/// A condition on one part of a request. If the part has several values, the first one that matches
/// provides the captures.
#[derive(Debug)]
pub(crate) enum Matcher {
    Path(Pattern),
    Host(Pattern),
    Method(Vec<String>),
    /// Without a pattern, the header must exist.
    Header(String, Option<Pattern>),
    /// Without a pattern, the parameter must exist.
    Query(String, Option<Pattern>),
    Cookie {
        name: Pattern,
        value: Pattern,
    },
}

impl Matcher {
    /// Returns whether the condition holds, and adds its captures to `variables`.
    pub(crate) fn matches(&self, request: &Request<'_>, variables: &mut Variables) -> bool {
        match self {
            Self::Path(pattern) => pattern.matches(request.path(), variables),
            Self::Host(pattern) => pattern.matches(request.authority(), variables),
            Self::Method(methods) => methods.iter().any(|m| m.as_bytes() == request.method()),
            Self::Header(name, pattern) => request
                .header(name)
                .any(|value| pattern_matches(pattern.as_ref(), value, variables)),
            Self::Query(name, pattern) => request
                .parameters(name)
                .any(|value| pattern_matches(pattern.as_ref(), value.as_bytes(), variables)),
            Self::Cookie { name, value } => request
                .cookies()
                .any(|(key, text)| name.matches(key, variables) && value.matches(text, variables)),
        }
    }

    /// Returns the header it reads, unless it reads a pseudo-header.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name, _) => Some(name),
            Self::Cookie { .. } => Some("cookie"),
            Self::Path(_) | Self::Host(_) | Self::Method(_) | Self::Query(..) => None,
        }
    }
}

fn pattern_matches(pattern: Option<&Pattern>, value: &[u8], variables: &mut Variables) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(value, variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::compile(text).unwrap()
    }

    #[test]
    fn each_kind_reads_its_own_part_of_the_request() {
        let headers = [
            (":method", "GET"),
            (":authority", "gitlab.example"),
            (":path", "/jwt/auth?service=dependency_proxy"),
            ("job-token", "one"),
            ("job-token", "two"),
            ("cookie", "x=1; _gitlab_session_ab=cell-2-f0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let request = Request::new(&headers);
        let cookie = |value| Matcher::Cookie {
            name: pattern("_gitlab_session(_[0-9a-f]+)?"),
            value: pattern(value),
        };
        let header =
            |name: &str, value: Option<&str>| Matcher::Header(name.to_owned(), value.map(pattern));
        let query =
            |name: &str, value: Option<&str>| Matcher::Query(name.to_owned(), value.map(pattern));
        for (matcher, expected) in [
            (Matcher::Path(pattern("/jwt/auth")), true),
            (Matcher::Path(pattern("/jwt")), false),
            (Matcher::Host(pattern(r"gitlab\.example")), true),
            (Matcher::Method(vec!["HEAD".to_owned(), "GET".to_owned()]), true),
            (Matcher::Method(vec!["PUT".to_owned()]), false),
            (header("job-token", None), true),
            (header("job-token", Some("two")), true),
            (header("job-token", Some("three")), false),
            (header("private-token", None), false),
            (query("service", Some("dependency_proxy|container_registry")), true),
            (query("service", None), true),
            (query("scope", None), false),
            (cookie("cell-[0-9]+-.*"), true),
            (cookie("1"), false),
        ] {
            assert_eq!(
                matcher.matches(&request, &mut Variables::default()),
                expected,
                "{matcher:?}"
            );
        }
    }
}
