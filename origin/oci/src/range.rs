//! Byte ranges (RFC 9110 §14). Only requests for one range are supported; registry clients send no
//! others.

use std::ops::RangeInclusive;

/// A `Range: bytes=…` header with one range, not yet resolved against the content's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, both inclusive.
    Bounded(u64, u64),
    /// `first-`: from `first` to the end.
    From(u64),
    /// `-count`: the last `count` bytes.
    Last(u64),
}

impl ByteRange {
    /// Parses a `Range` header. `None`: another unit, several ranges or a malformed header, all of which
    /// a server may ignore (RFC 9110 §14.2).
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

    /// Returns the positions in a content of `length` bytes. `None`: not satisfiable, status 416.
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

/// The `Content-Range` header of a 206 response (RFC 9110 §14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The position of the first byte.
    pub first: u64,
    /// The position of the last byte.
    pub last: u64,
    /// The whole content's length in bytes, if known.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Parses `bytes FIRST-LAST/TOTAL`, where `TOTAL` is a number or `*`. `None`: malformed.
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

/// Positions consist of digits only (RFC 9110 §14.1.1); `u64::from_str` would accept a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of the OCI conformance suite, for 2048 bytes.
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
    fn a_header_without_exactly_one_byte_range_is_ignored() {
        for header in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"]
        {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
        assert_eq!(ByteRange::parse("bytes=+1-2"), None);
    }

    #[test]
    fn no_range_of_empty_content_is_satisfiable() {
        assert_eq!(ByteRange::From(0).resolve(0), None);
    }

    #[test]
    fn an_inconsistent_content_range_is_rejected() {
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
