//! Which of two formats a scraper accepts (RFC 9110 §12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A format of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4, which every scraper and every person can read.
    Text,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `None` for a media type, or a version of one, that the page does not have. A wildcard is
    /// among them: it leads to the default.
    fn of(media_type: &str, version: Option<&str>) -> Option<Self> {
        match (media_type, version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => Some(Self::OpenMetrics),
            ("text/plain", None | Some("0.0.4")) => Some(Self::Text),
            _ => None,
        }
    }
}

/// Returns the format with the highest quality value, the first one of several; text by default.
pub(super) fn negotiate(headers: &HeaderMap) -> Format {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut best = (Format::Text, 0.0);
    for (format, quality) in lines.flat_map(|line| line.split(',')).filter_map(parse) {
        if quality > best.1 {
            best = (format, quality);
        }
    }
    best.0
}

/// Reads one media range, such as `text/plain;version=0.0.4;q=0.5`.
fn parse(range: &str) -> Option<(Format, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut version, mut quality) = (None, 1.0);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim_end().to_ascii_lowercase().as_str() {
            "version" => version = Some(value.trim().trim_matches('"')),
            "q" => quality = value.trim().parse().unwrap_or(1.0),
            _ => {}
        }
    }
    Some((Format::of(&media_type, version)?, quality))
}
