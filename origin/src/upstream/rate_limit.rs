//! A registry's rate limit as its responses report it: Docker Hub's `RateLimit-Limit: 100;w=21600`,
//! and `RateLimit-Reset`, `RateLimit` and `RateLimit-Policy` of the IETF drafts.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use super::retry_after;

/// The pause after a 429 that names none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// A longer pause is cut to this: a clock may be wrong, or the limit may be raised meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The state of a rate limit; what the registry does not report is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quota {
    /// Requests allowed per window.
    pub limit: Option<u64>,
    /// Requests left in the window.
    pub remaining: Option<u64>,
    /// The window's length in seconds.
    pub window: Option<u64>,
    /// Seconds until the limit resets.
    pub reset: Option<u64>,
}

impl Quota {
    /// Reads a response's headers. `None`: they report no limit.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let field = |name| Item::tightest(headers, name);
        let (limit, remaining) = (field("ratelimit-limit"), field("ratelimit-remaining"));
        let (policy, state) = (field("ratelimit-policy"), field("ratelimit"));
        let reset = field("ratelimit-reset").and_then(|item| item.value);
        let window = |item: &Option<Item<'_>>| item.as_ref().and_then(|item| item.parameter("w"));
        let quota = Self {
            limit: limit
                .as_ref()
                .and_then(|item| item.value)
                .or_else(|| policy.as_ref()?.parameter("q")),
            remaining: remaining
                .as_ref()
                .and_then(|item| item.value)
                .or_else(|| state.as_ref()?.parameter("r")),
            window: window(&limit).or_else(|| window(&remaining)).or_else(|| window(&policy)),
            reset: reset.or_else(|| state.as_ref()?.parameter("t")),
        };
        (quota != Self::default()).then_some(quota)
    }
}

/// Returns how long no request is sent after a 429 with these headers.
pub(super) fn pause(headers: &HeaderMap, now: SystemTime) -> Duration {
    let reset = || Quota::of(headers)?.reset.map(Duration::from_secs);
    let pause = retry_after::parse(headers, now).or_else(reset);
    pause.unwrap_or(DEFAULT_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// One limit with its parameters: `100;w=21600` or `"default";r=50;t=30`.
struct Item<'h> {
    value: Option<u64>,
    parameters: Vec<(&'h str, u64)>,
}

impl<'h> Item<'h> {
    /// Returns the limit with the least left, if the registry reports several.
    fn tightest(headers: &'h HeaderMap, name: &str) -> Option<Self> {
        let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let items = lines.flat_map(|line| line.split(',')).map(Self::parse);
        items.min_by_key(|item| item.value.or_else(|| item.parameter("r")).unwrap_or(u64::MAX))
    }

    fn parse(text: &'h str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next().and_then(|value| value.parse().ok());
        let parameter = |part: &'h str| {
            let (key, value) = part.split_once('=')?;
            Some((key.trim(), value.trim().parse().ok()?))
        };
        Self { value, parameters: parts.filter_map(parameter).collect() }
    }

    fn parameter(&self, name: &str) -> Option<u64> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(header).collect()
    }

    fn at(date: &str) -> SystemTime {
        httpdate::parse_http_date(date).unwrap()
    }

    #[test]
    fn the_pause_after_a_429_is_bounded() {
        let now = at("Sun, 06 Nov 1994 08:49:37 GMT");
        for (text, seconds) in [
            ("7", 7),
            (" 120 ", 120),
            ("0", 1),
            ("Sun, 06 Nov 1994 08:50:00 GMT", 23),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 1),
            ("Fri, 31 Dec 1999 23:59:59 GMT", 900),
            ("86400", 900),
            ("99999999999999999999999", 900),
            ("soon", 30),
            ("-1", 30),
            ("", 30),
        ] {
            let pause = pause(&headers(&[("retry-after", text)]), now);
            assert_eq!(pause, Duration::from_secs(seconds), "{text}");
        }
        let reset = headers(&[("ratelimit-reset", "44")]);
        assert_eq!(pause(&reset, now), Duration::from_secs(44));
    }

    #[test]
    fn docker_hubs_headers_are_accepted() {
        let hub = headers(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "76;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ]);
        let expected =
            Quota { limit: Some(100), remaining: Some(76), window: Some(21600), reset: None };
        assert_eq!(Quota::of(&hub), Some(expected));
    }

    #[test]
    fn both_forms_of_the_ietf_drafts_are_accepted() {
        let early = headers(&[
            ("ratelimit-limit", "10, 100;w=60"),
            ("ratelimit-remaining", "9"),
            ("ratelimit-reset", "4"),
        ]);
        let expected = Quota { limit: Some(10), remaining: Some(9), window: None, reset: Some(4) };
        assert_eq!(Quota::of(&early), Some(expected));
        let late = headers(&[
            ("ratelimit-policy", "\"burst\";q=100;w=60"),
            ("ratelimit", "\"burst\";r=50;t=30, \"day\";r=70;t=9000"),
        ]);
        let expected =
            Quota { limit: Some(100), remaining: Some(50), window: Some(60), reset: Some(30) };
        assert_eq!(Quota::of(&late), Some(expected));
    }

    #[test]
    fn headers_without_a_limit_report_none() {
        assert_eq!(Quota::of(&headers(&[])), None);
        let odd = headers(&[("ratelimit-limit", "lots"), ("ratelimit", ";;=,")]);
        assert_eq!(Quota::of(&odd), None);
    }
}
