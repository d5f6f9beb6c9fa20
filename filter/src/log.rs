//! What is logged of a request: one line of JSON, and never a query, a token or a credential.

use router::{Availability, LocalReply};
use serde::Serialize;

use crate::host::{Host, Level};

/// Bytes of a request's own text in a line.
const MAX_TEXT: usize = 256;

/// The host did not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    RouteHeaders,
    Reply,
    Resume,
    TooManyWaiting,
}

impl Trouble {
    pub(crate) const ALL: [Self; 4] =
        [Self::RouteHeaders, Self::Reply, Self::Resume, Self::TooManyWaiting];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RouteHeaders => "route_headers",
            Self::Reply => "reply",
            Self::Resume => "resume",
            Self::TooManyWaiting => "too_many_waiting",
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    request_id: String,
    method: String,
    host: String,
    path: String,
}

impl Line<'_> {
    /// Of the request the host is about.
    fn new(host: &impl Host, event: &'static str) -> Self {
        let value = |name| host.request_header(name).unwrap_or_default();
        // What follows `?` or `#`, or stands before `@`, may be a credential.
        let (path, authority) = (value(":path"), value(":authority"));
        let path = path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        let authority = authority.rsplit(|b| *b == b'@').next().unwrap_or_default();
        Self {
            event,
            reason: None,
            error: None,
            status: None,
            rule: None,
            request_id: text(&value("x-request-id")),
            method: text(&value(":method")),
            host: text(authority),
            path: text(path),
        }
    }
}

/// A request that was answered here.
pub(crate) fn refused(host: &impl Host, reply: &LocalReply) {
    let line = Line {
        reason: Some(reply.refusal.as_str()),
        status: Some(reply.status),
        rule: reply.rule.as_deref(),
        ..Line::new(host, "refused")
    };
    write(host, Level::Warn, &line);
}

/// A request in trouble.
pub(crate) fn trouble(host: &impl Host, trouble: Trouble) {
    let line = Line { error: Some(trouble.as_str()), ..Line::new(host, "error") };
    write(host, Level::Error, &line);
}

/// The Topology Service stopped or began to answer.
pub(crate) fn availability(host: &impl Host, availability: Availability) {
    #[derive(Serialize)]
    struct News {
        event: &'static str,
        state: &'static str,
    }
    let level = match availability {
        Availability::Available => Level::Info,
        Availability::Unavailable => Level::Warn,
    };
    write(host, level, &News { event: "topology_service", state: availability.as_str() });
}

/// A client's bytes as text, cut; what is no UTF-8 is shown as U+FFFD, a credential not at all.
fn text(bytes: &[u8]) -> String {
    if gitlab::redact::looks_like_credential(bytes) {
        return "(hidden)".to_owned();
    }
    let cut = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    String::from_utf8_lossy(cut).into_owned()
}

fn write(host: &impl Host, level: Level, line: &impl Serialize) {
    host.log(level, &serde_json::to_string(line).unwrap_or_default());
}
