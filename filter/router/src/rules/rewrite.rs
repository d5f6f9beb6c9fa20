//! The path that replaces the client's. Variables hold decoded text from the client, so the expanded
//! path is checked before it becomes part of a request line.

use super::names::Names;
use super::variables::{Template, Variables};

const PROBLEM: &str = "a path must start with `/`, be visible ASCII without `?`, `#`, `%` and `\\`, \
                       and have no empty, `.` or `..` segment";

/// A template whose expansions are paths that need no normalisation.
#[derive(Debug)]
pub(super) struct RewritePath(Template);

impl RewritePath {
    pub(super) fn compile(text: &str, names: &Names) -> Result<Self, String> {
        let template = names.template(text)?;
        if is_plain(&template.with_all("x")) { Ok(Self(template)) } else { Err(PROBLEM.to_owned()) }
    }

    /// Returns the path, or `None` if a variable does not exist, is a list, or is invalid in a path.
    pub(super) fn fill(&self, variables: &Variables) -> Option<String> {
        self.0.one(variables).filter(|path| is_plain(path))
    }
}

fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'\\');
    let Some(segments) = path.strip_prefix('/') else { return false };
    // A path may end in `/`.
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    let named = |segment: &str| !matches!(segment, "" | "." | "..");
    path == "/" || path.bytes().all(plain) && segments.split('/').all(named)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_plain_path_needs_no_normalisation() {
        for path in ["/", "/a", "/a/", "/jwt/auth", "/a/...", "/a.b/-~:@!$&'()*+,;=_"] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "", "a", "//", "/a//b", "/a//", "/.", "/a/..", "/a/./b", "/../a", "/a b", "/a?b",
            "/a#", "/a%2fb", "/a\\b", "/a\r\nb", "/a\u{7f}", "/\u{e9}",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
