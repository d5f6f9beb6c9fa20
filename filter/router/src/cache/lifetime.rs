//! How long the Topology Service allows a response to be cached.

/// The lifetime in a `Cache-Control` header, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `max-age`; 0 if the response must not be served from the cache.
    pub(crate) fresh_seconds: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861); 0 if the response must not be served stale.
    pub(crate) stale_seconds: Option<u32>,
}

impl Lifetime {
    pub(crate) fn parse(cache_control: &[u8]) -> Self {
        let text = std::str::from_utf8(cache_control).unwrap_or_default().to_ascii_lowercase();
        let directives = || text.split(',').map(str::trim);
        if directives().any(|directive| matches!(directive, "no-store" | "no-cache")) {
            return Self { fresh_seconds: Some(0), stale_seconds: Some(0) };
        }
        let seconds = |name: &str| directives().find_map(|d| d.strip_prefix(name)?.parse().ok());
        Self {
            fresh_seconds: seconds("max-age="),
            stale_seconds: seconds("stale-while-revalidate="),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directives_of_cache_control_are_parsed() {
        for (value, fresh_seconds, stale_seconds) in [
            (&b"max-age=30"[..], Some(30), None),
            (b"public, Max-Age=30", Some(30), None),
            (b"max-age=30, stale-while-revalidate=60", Some(30), Some(60)),
            (b"stale-while-revalidate=0", None, Some(0)),
            (b"no-store", Some(0), Some(0)),
            (b"max-age=30, no-cache", Some(0), Some(0)),
            (b"private", None, None),
            (b"max-age=abc", None, None),
            (b"max-age=-1", None, None),
            (b"\xff", None, None),
            (b"", None, None),
        ] {
            let expected = Lifetime { fresh_seconds, stale_seconds };
            assert_eq!(Lifetime::parse(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
