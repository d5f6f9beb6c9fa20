//! The state of a host: hostcalls change it, tests inspect it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasmtime::TypedFunc;

use super::abi::{LogLevel, Status};
use super::headers::HeaderMap;
use super::metrics::Metrics;
use super::shared::{SharedData, SharedQueues};

/// The id of a context: a root (one per configuration) or a stream (one per request).
pub(super) type ContextId = u32;

/// The id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) ContextId);

/// The id of an HTTP call that the filter made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u32);

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// It went on to the next filter, with the headers as they are now.
    Continued,
    /// It waits for the filter to resume it.
    Paused,
    /// The filter sent a local reply.
    LocalReply,
}

impl StreamState {
    /// The state's name, for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continued => "continued",
            Self::Paused => "paused",
            Self::LocalReply => "local reply",
        }
    }
}

/// A response that the filter sent in place of the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u32,
    /// The headers, without those that Envoy adds.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The gRPC status, or -1.
    pub grpc_status: i32,
}

/// An outstanding HTTP call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The id to pass to `respond`, `fail` or `time_out`.
    pub id: CallId,
    /// The request it was made for; `None` if the root context made it.
    pub stream: Option<StreamId>,
    /// The cluster it goes to.
    pub cluster: String,
    /// The headers, with the pseudo headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The timeout in milliseconds.
    pub timeout_ms: u32,
    /// The root context of the caller, which receives the response.
    pub(super) root: ContextId,
}

/// A line that the filter logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its severity.
    pub level: LogLevel,
    /// Its text.
    pub message: String,
}

/// The timer of a root context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) period_ms: u32,
    pub(super) due_ns: u64,
}

impl Tick {
    /// Starts the timer now.
    pub(super) fn set(period_ms: u32, now_ns: u64) -> Self {
        let due_ns = now_ns.saturating_add(u64::from(period_ms).saturating_mul(1_000_000));
        Self { period_ms, due_ns }
    }
}

/// One request.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) root: ContextId,
    pub(super) request: Message,
    pub(super) response: Option<Message>,
    pub(super) local_reply: Option<LocalReply>,
    pub(super) request_paused: bool,
    pub(super) response_paused: bool,
    pub(super) route_cache_clears: u32,
    /// The headers have changed since the route cache was last cleared.
    pub(super) route_is_stale: bool,
}

impl Stream {
    pub(super) fn state(&self) -> StreamState {
        match (&self.local_reply, self.request_paused) {
            (Some(_), _) => StreamState::LocalReply,
            (None, true) => StreamState::Paused,
            (None, false) => StreamState::Continued,
        }
    }
}

/// A request or a response.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) struct HostState {
    /// `malloc` or `proxy_on_memory_allocate`, chosen once.
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    /// The VM is starting: only `proxy_log` may be called.
    pub(super) restricted: bool,
    /// The context on which hostcalls act.
    pub(super) active: ContextId,
    pub(super) roots: BTreeSet<ContextId>,
    pub(super) configuration: Vec<u8>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    /// The contexts that exist for the guest. An ended stream stays in `streams`, for tests.
    pub(super) live: BTreeSet<ContextId>,
    /// The streams whose `proxy_on_done` deferred their end.
    pub(super) unfinished: BTreeSet<ContextId>,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) calls_made: u32,
    pub(super) unknown_clusters: BTreeSet<String>,
    pub(super) has_foreign_functions: bool,
    /// The response being delivered; only its callback can read it.
    pub(super) call_response: Option<Message>,
    pub(super) logs: Vec<LogLine>,
    pub(super) log_level: LogLevel,
    pub(super) now_ns: u64,
    /// The timers that are on, by root context.
    pub(super) ticks: BTreeMap<ContextId, Tick>,
    pub(super) properties: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) shared_data: SharedData,
    pub(super) shared_queues: SharedQueues,
    pub(super) metrics: Metrics,
    /// What the filter did in the current call that would crash or hang an Envoy.
    pub(super) misuse: Vec<String>,
}

impl HostState {
    pub(super) fn new(configuration: Vec<u8>) -> Self {
        Self {
            allocator: None,
            restricted: true,
            active: 0,
            roots: BTreeSet::new(),
            configuration,
            streams: BTreeMap::new(),
            live: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            calls: BTreeMap::new(),
            calls_made: 0,
            unknown_clusters: BTreeSet::new(),
            has_foreign_functions: true,
            call_response: None,
            logs: Vec::new(),
            log_level: LogLevel::Trace,
            now_ns: 1_700_000_000_000_000_000,
            ticks: BTreeMap::new(),
            properties: HashMap::new(),
            shared_data: SharedData::default(),
            shared_queues: SharedQueues::default(),
            metrics: Metrics::default(),
            misuse: Vec::new(),
        }
    }

    /// The stream on which hostcalls act; `None` while a root context is active.
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&StreamId(self.active))
    }

    /// The root of the active context, which owns timers and calls.
    pub(super) fn active_root(&mut self) -> ContextId {
        self.stream().map(|stream| stream.root).unwrap_or(self.active)
    }

    /// The header map with this number in the ABI.
    ///
    /// A missing map is `BAD_ARGUMENT`, as in Envoy: the headers of a failed call, or a request's
    /// headers in the root context. The Rust SDK panics on it.
    pub(super) fn map(&mut self, kind: u32) -> Result<&mut HeaderMap, Status> {
        let map = match kind {
            0 => self.stream().map(|stream| &mut stream.request.headers),
            1 => self.stream().map(|stream| &mut stream.request.trailers),
            2 => self.response().map(|response| &mut response.headers),
            3 => self.response().map(|response| &mut response.trailers),
            6 => self.call_response.as_mut().map(|response| &mut response.headers),
            7 => self.call_response.as_mut().map(|response| &mut response.trailers),
            _ => None,
        };
        map.ok_or(Status::BadArgument)
    }

    /// The header map with this number in the ABI, for a change.
    pub(super) fn map_mut(&mut self, kind: u32) -> Result<&mut HeaderMap, Status> {
        if let Some(stream) = self.stream().filter(|_| kind == 0) {
            stream.route_is_stale = true;
        }
        self.map(kind)
    }

    /// The buffer with this number in the ABI; `NOT_FOUND` if it is missing.
    pub(super) fn buffer(&mut self, kind: u32) -> Result<&mut Vec<u8>, Status> {
        let buffer = match kind {
            0 => self.stream().map(|stream| &mut stream.request.body),
            1 => self.response().map(|response| &mut response.body),
            4 => self.call_response.as_mut().map(|response| &mut response.body),
            7 => Some(&mut self.configuration),
            2 | 3 | 5 | 6 | 8 => None,
            _ => return Err(Status::BadArgument),
        };
        buffer.ok_or(Status::NotFound)
    }

    fn response(&mut self) -> Option<&mut Message> {
        self.stream()?.response.as_mut()
    }
}
