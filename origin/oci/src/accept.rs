//! The `Accept` header as registry clients use it (RFC 9110 §12.5.1).

use crate::media_type::{ACCEPT_MANIFESTS, DOCKER_LIST, OCI_INDEX};

/// The most media ranges that are kept; docker sends seven.
const MAX_RANGES: usize = 32;

/// The media types that a client accepts, normalised: equivalent headers are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Accept(Option<String>);

impl Accept {
    /// Accepts every media type.
    #[must_use]
    pub const fn any() -> Self {
        Self(None)
    }

    /// Parses the header's lines. Order and `q` are kept for upstreams that negotiate; other parameters,
    /// duplicates and malformed media ranges are dropped. If nothing but `*/*` is left, the result is
    /// [`Accept::any`].
    pub fn parse<'h>(lines: impl IntoIterator<Item = &'h str>) -> Self {
        let mut ranges: Vec<String> = Vec::new();
        let parsed = lines.into_iter().flat_map(|line| line.split(',')).filter_map(canonical);
        for range in parsed {
            if ranges.len() < MAX_RANGES && !ranges.contains(&range) {
                ranges.push(range);
            }
        }
        let any = ranges.iter().all(|range| range == "*/*");
        Self((!any).then(|| ranges.join(", ")))
    }

    /// Returns the header value to send to an upstream for this client.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(ACCEPT_MANIFESTS)
    }

    /// Whether a body of this `Content-Type` is acceptable. The most specific range decides (RFC 9110
    /// §12.5.1).
    #[must_use]
    pub fn permits(&self, content_type: &str) -> bool {
        let Some(ranges) = &self.0 else { return true };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
        let kind = essence.split('/').next().unwrap_or_default();
        let accepted = |range: &str| {
            let found = ranges.split(", ").find(|one| name_of(one) == range)?;
            Some(!is_excluded(found))
        };
        let specific = accepted(&essence).or_else(|| accepted(&format!("{kind}/*")));
        specific.or_else(|| accepted("*/*")).unwrap_or(false)
    }

    /// Whether an index of many platforms is acceptable. Then an upstream need not pick a platform, and
    /// every such client gets the same manifest.
    #[must_use]
    pub fn takes_indexes(&self) -> bool {
        self.permits(OCI_INDEX) || self.permits(DOCKER_LIST)
    }
}

fn name_of(range: &str) -> &str {
    range.split(';').next().unwrap_or_default()
}

/// Whether the range has `q=0`, "not acceptable" (RFC 9110 §12.4.2).
fn is_excluded(range: &str) -> bool {
    let quality = range.split_once(";q=").map(|(_, quality)| quality);
    quality.and_then(|quality| quality.parse::<f32>().ok()) == Some(0.0)
}

/// Returns `type/subtype` or `type/subtype;q=0.5` in lower case, or `None` if malformed.
fn canonical(range: &str) -> Option<String> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = name.split_once('/')?;
    let valid = is_token(kind) && is_token(subtype) && (kind != "*" || subtype == "*");
    if !valid || name.len() > 127 {
        return None;
    }
    let quality = parts.filter_map(|part| part.split_once('=')).find_map(|(key, value)| {
        let quality = value.trim().parse::<f32>().ok()?;
        (key.trim().eq_ignore_ascii_case("q") && (0.0..1.0).contains(&quality)).then_some(quality)
    });
    Some(match quality {
        Some(quality) => format!("{name};q={quality}"),
        None => name,
    })
}

fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::{DOCKER_MANIFEST, OCI_MANIFEST};
    use proptest::prelude::*;

    #[test]
    fn equivalent_headers_are_equal() {
        let lines = ["Application/JSON ; Q=0.50, text/*", "*/*;q=0.1,application/json;q=0.5"];
        let accept = Accept::parse(lines);
        assert_eq!(accept.as_str(), "application/json;q=0.5, text/*, */*;q=0.1");
        assert_eq!(Accept::parse([accept.as_str()]), accept);
    }

    #[test]
    fn an_empty_header_and_a_wildcard_accept_every_known_type() {
        for lines in [&[][..], &[""], &["*/*"], &["nonsense, a/b/c, é/x, */json", "*/*;x=y"]] {
            let accept = Accept::parse(lines.iter().copied());
            assert_eq!(accept, Accept::any(), "{lines:?}");
            assert_eq!(accept.as_str(), ACCEPT_MANIFESTS);
        }
    }

    #[test]
    fn the_most_specific_range_decides() {
        let accept = Accept::parse(["application/*, text/plain;q=0", "*/*;q=0.0"]);
        for (media_type, accepted) in [
            (OCI_MANIFEST, true),
            ("application/X; charset=utf-8", true),
            ("text/plain", false),
            ("image/png", false),
        ] {
            assert_eq!(accept.permits(media_type), accepted, "{media_type}");
        }
        assert!(!Accept::parse([DOCKER_MANIFEST]).permits(OCI_MANIFEST));
        assert!(Accept::any().permits("x/y"));
    }

    #[test]
    fn a_client_of_single_images_accepts_no_index() {
        assert!(!Accept::parse([DOCKER_MANIFEST, OCI_MANIFEST]).takes_indexes());
        assert!(Accept::parse([DOCKER_MANIFEST, DOCKER_LIST]).takes_indexes());
        assert!(Accept::parse([ACCEPT_MANIFESTS]).takes_indexes() && Accept::any().takes_indexes());
    }

    proptest! {
        #[test]
        fn the_normalised_header_is_short_and_parses_to_itself(lines in prop::collection::vec(".{0,300}", 0..40)) {
            let accept = Accept::parse(lines.iter().map(String::as_str));
            prop_assert!(accept.as_str().len() <= MAX_RANGES * 150);
            prop_assert!(accept.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let again = Accept::parse([accept.as_str()]);
            prop_assert_eq!(again.as_str(), accept.as_str());
        }
    }
}
