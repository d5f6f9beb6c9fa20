//! Byte ranges (RFC 9110 §14): one range a request, as every registry client asks.

use std::ops::RangeInclusive;

/// A `Range: bytes=…` that names one range; its meaning needs the content's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, both inclusive.
    Bounded(u64, u64),
    /// `first-`, to the end.
    From(u64),
    /// `-count`, the last bytes.
    Last(u64),
}

impl ByteRange {
    /// Reads a `Range` header. `None`: another unit, several ranges or no range at all, which a
    /// server may answer with the whole content (RFC 9110 §14.2).
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", "") => None,
            ("", count) => number(count).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => Some(Self::Bounded(number(first)?, number(last)?)),
        }
    }

    /// The bytes meant of a content of `length` bytes. `None`: not satisfiable, a 416.
    #[must_use]
    pub fn resolve(self, length: u64) -> Option<RangeInclusive<u64>> {
        let end = length.checked_sub(1)?;
        let range = match self {
            Self::Bounded(first, last) => first..=last.min(end),
            Self::From(first) => first..=end,
            Self::Last(0) => return None,
            Self::Last(count) => length.saturating_sub(count)..=end,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// The `Content-Range` of a 206 (RFC 9110 §14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte's position.
    pub first: u64,
    /// The last byte's position.
    pub last: u64,
    /// The whole content's length in bytes, where it was told.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes FIRST-LAST/TOTAL`, `TOTAL` a number or `*`. `None`: anything else.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (positions, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = positions.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let inside = first <= last && total.is_none_or(|total| last < total);
        inside.then_some(Self { first, last, total })
    }
}

/// RFC 9110 positions are digits only; `u64::from_str` would also take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the OCI conformance suite, on 2048 bytes.
    #[test]
    fn ranges_resolve_as_the_conformance_suite_expects() {
        let cases = [
            ("bytes=500-1499", Some(500..=1499)),
            ("bytes=500-", Some(500..=2047)),
            ("bytes=-500", Some(1548..=2047)),
            ("bytes=2000-5000", Some(2000..=2047)),
            ("bytes=-5000", Some(0..=2047)),
            ("bytes=500-0", None),
            ("bytes=5000-10000", None),
            ("bytes=2048-", None),
            ("bytes=-0", None),
        ];
        for (header, expected) in cases {
            let range = ByteRange::parse(header).unwrap();
            assert_eq!(range.resolve(2048), expected, "{header}");
        }
    }

    #[test]
    fn what_is_not_one_byte_range_asks_for_the_whole() {
        for header in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"]
        {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
        assert_eq!(ByteRange::parse("bytes=+1-2"), None);
    }

    #[test]
    fn nothing_of_an_empty_content_can_be_asked() {
        assert_eq!(ByteRange::From(0).resolve(0), None);
    }

    #[test]
    fn a_content_range_must_make_sense() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        let cases = [
            ("bytes 0-9/10", range(0, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 5-10/10", None),
            ("bytes 5-4/10", None),
            ("bytes */10", None),
            ("bytes=0-9/10", None),
            ("bytes +0-9/10", None),
            ("bytes 0-9", None),
        ];
        for (header, expected) in cases {
            assert_eq!(ContentRange::parse(header), expected, "{header}");
        }
    }
}
