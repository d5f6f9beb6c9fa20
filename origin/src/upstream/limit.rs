//! What a registry says about its rate limit: `Retry-After` (RFC 9110 §10.2.3), Docker Hub's
//! `RateLimit-Limit: 100;w=21600`, and the IETF drafts' `RateLimit-Reset` and `RateLimit`.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// Left alone for so long where a 429 does not say.
const UNSAID: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
/// A longer wait is asked about again: the clock may be wrong, or the limit raised meanwhile.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The state of a rate limit; what the registry leaves out is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Requests the window allows.
    pub limit: Option<u64>,
    /// Requests left in it.
    pub remaining: Option<u64>,
    /// The window's length in seconds.
    pub window: Option<u64>,
    /// Seconds until there are more.
    pub reset: Option<u64>,
}

impl Quota {
    /// Reads an answer's headers; `None`: they say nothing about a limit.
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

/// How long a registry that answered 429 is left alone.
pub(super) fn pause(headers: &HeaderMap, now: SystemTime) -> Duration {
    let said = super::text(headers, "retry-after").and_then(|text| retry_after(&text, now));
    let reset = || Quota::of(headers)?.reset.map(Duration::from_secs);
    said.or_else(reset).unwrap_or(UNSAID).clamp(SHORTEST, LONGEST)
}

fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds are a long time, too.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// `100;w=21600` or `"default";r=50;t=30`.
struct Item<'h> {
    value: Option<u64>,
    parameters: Vec<(&'h str, u64)>,
}

impl<'h> Item<'h> {
    /// Of several the one with the least left.
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
    fn retry_after_is_seconds_or_a_date_and_always_bounded() {
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
    fn docker_hubs_headers_are_read() {
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
    fn both_forms_of_the_drafts_are_read() {
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
    fn what_says_nothing_is_nothing() {
        assert_eq!(Quota::of(&headers(&[])), None);
        let odd = headers(&[("ratelimit-limit", "lots"), ("ratelimit", ";;=,")]);
        assert_eq!(Quota::of(&odd), None);
    }
}
