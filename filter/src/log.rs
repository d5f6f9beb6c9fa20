//! Logs one line of JSON per event, never with a query, a token or a credential.

use router::{Availability, LocalReply};
use serde::Serialize;

use crate::host::{Host, Level};

/// The length to which texts of a request are cut, in bytes.
const MAX_TEXT: usize = 256;

/// Why the filter could not carry out the router's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestError {
    RouteHeaders,
    Reply,
    Resume,
    TooManyWaiting,
}

impl RequestError {
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
struct RequestLog<'a> {
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

impl RequestLog<'_> {
    /// Creates the log of the host's current request.
    fn new(host: &impl Host, event: &'static str) -> Self {
        let value = |name| host.request_header(name).unwrap_or_default();
        // The text after `?` or `#` and before `@` may be a credential.
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

/// Logs a request that the edge rejected.
pub(crate) fn rejection(host: &impl Host, reply: &LocalReply) {
    let line = RequestLog {
        reason: Some(reply.rejection.as_str()),
        status: Some(reply.status),
        rule: reply.rule.as_deref(),
        ..RequestLog::new(host, "refused")
    };
    write(host, Level::Warn, &line);
}

/// Logs an error of a request.
pub(crate) fn error(host: &impl Host, error: RequestError) {
    let line = RequestLog { error: Some(error.as_str()), ..RequestLog::new(host, "error") };
    write(host, Level::Error, &line);
}

/// Logs that the Topology Service stopped or started to respond.
pub(crate) fn availability(host: &impl Host, availability: Availability) {
    #[derive(Serialize)]
    struct AvailabilityLog {
        event: &'static str,
        state: &'static str,
    }
    let level = match availability {
        Availability::Available => Level::Info,
        Availability::Unavailable => Level::Warn,
    };
    write(
        host,
        level,
        &AvailabilityLog { event: "topology_service", state: availability.as_str() },
    );
}

/// Returns a client's bytes as text: cut, with U+FFFD in place of invalid UTF-8, and hidden if it looks
/// like a credential.
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
