//! Everything the host knows; hostcalls change it and tests ask it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasmtime::TypedFunc;

use super::abi::{LogLevel, Status};
use super::headers::HeaderMap;
use super::metrics::Metrics;
use super::shared::{SharedData, SharedQueues};

/// The number of a context: a root (one per configuration) or a stream (one per request).
pub(super) type ContextId = u32;

/// One request, as a test names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) ContextId);

/// One HTTP call a filter made, as a test names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u32);

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on to the next filter, with the headers as they are now.
    Continue,
    /// It waits for the filter to resume it.
    Pause,
    /// The filter answered it.
    LocalReply,
}

impl Outcome {
    /// The outcome's name, for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pause => "pause",
            Self::LocalReply => "local reply",
        }
    }
}

/// A response the filter sent in place of the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u32,
    /// Headers beside those Envoy adds.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The gRPC status, or -1.
    pub grpc_status: i32,
}

/// An HTTP call waiting for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What to give to `answer` or `fail`.
    pub id: CallId,
    /// The request it was made for; `None` when the root context made it.
    pub stream: Option<StreamId>,
    /// The name of Envoy's cluster.
    pub cluster: String,
    /// The request's headers, pseudo headers included.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Vec<u8>,
    /// How long Envoy would wait, in milliseconds.
    pub timeout_ms: u32,
    /// The root context of the caller, to whom the answer goes.
    pub(super) root: ContextId,
}

/// A line the filter logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How important it is.
    pub level: LogLevel,
    /// What it says.
    pub message: String,
}

/// The timer of a root context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) period_ms: u32,
    pub(super) due_ns: u64,
}

impl Tick {
    /// The timer starts anew from now.
    pub(super) fn set(period_ms: u32, now_ns: u64) -> Self {
        let due_ns = now_ns.saturating_add(u64::from(period_ms).saturating_mul(1_000_000));
        Self { period_ms, due_ns }
    }
}

/// One request: what a filter sees of it, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) root: ContextId,
    pub(super) request: Message,
    pub(super) response: Option<Message>,
    pub(super) local_reply: Option<LocalReply>,
    pub(super) request_paused: bool,
    pub(super) response_paused: bool,
    pub(super) route_cache_clears: u32,
    /// Headers changed since the route was last chosen anew.
    pub(super) route_is_stale: bool,
}

impl Stream {
    pub(super) fn outcome(&self) -> Outcome {
        match (&self.local_reply, self.request_paused) {
            (Some(_), _) => Outcome::LocalReply,
            (None, true) => Outcome::Pause,
            (None, false) => Outcome::Continue,
        }
    }
}

/// One direction of an HTTP exchange.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) struct State {
    /// `malloc` or `proxy_on_memory_allocate`, chosen once.
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    /// Only `proxy_log` may be called: the VM is starting.
    pub(super) restricted: bool,
    /// The context that hostcalls act on.
    pub(super) active: ContextId,
    pub(super) roots: BTreeSet<ContextId>,
    pub(super) configuration: Vec<u8>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    /// Contexts that exist for the guest; a stream's record stays here for tests after its end.
    pub(super) live: BTreeSet<ContextId>,
    /// Streams whose `proxy_on_done` asked for more time.
    pub(super) unfinished: BTreeSet<ContextId>,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) calls_made: u32,
    pub(super) unknown_clusters: BTreeSet<String>,
    pub(super) has_foreign_functions: bool,
    /// The answer being delivered; only a callback sees it.
    pub(super) call_answer: Option<Message>,
    pub(super) logs: Vec<LogLine>,
    pub(super) log_level: LogLevel,
    pub(super) now_ns: u64,
    /// By root context; a timer that is off is not here.
    pub(super) ticks: BTreeMap<ContextId, Tick>,
    pub(super) properties: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) shared_data: SharedData,
    pub(super) shared_queues: SharedQueues,
    pub(super) metrics: Metrics,
    /// What the filter did that would crash or hang Envoy.
    pub(super) misuse: Vec<String>,
}

impl State {
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
            call_answer: None,
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

    /// The stream that hostcalls act on; none while the root context is active.
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&StreamId(self.active))
    }

    /// The root of the context that hostcalls act on: timers and calls are its.
    pub(super) fn active_root(&mut self) -> ContextId {
        self.stream().map(|stream| stream.root).unwrap_or(self.active)
    }

    /// The header map with this number on the wire.
    ///
    /// A map that is not there is `BAD_ARGUMENT`, as in Envoy: the headers of a failed call, or a
    /// request's headers in the root context. The Rust SDK panics on it.
    pub(super) fn map(&mut self, kind: u32) -> Result<&mut HeaderMap, Status> {
        let map = match kind {
            0 => self.stream().map(|stream| &mut stream.request.headers),
            1 => self.stream().map(|stream| &mut stream.request.trailers),
            2 => self.response().map(|response| &mut response.headers),
            3 => self.response().map(|response| &mut response.trailers),
            6 => self.call_answer.as_mut().map(|answer| &mut answer.headers),
            7 => self.call_answer.as_mut().map(|answer| &mut answer.trailers),
            _ => None,
        };
        map.ok_or(Status::BadArgument)
    }

    /// The same, to change it.
    pub(super) fn map_mut(&mut self, kind: u32) -> Result<&mut HeaderMap, Status> {
        if let Some(stream) = self.stream().filter(|_| kind == 0) {
            stream.route_is_stale = true;
        }
        self.map(kind)
    }

    /// The buffer with this number on the wire; `NOT_FOUND` when it is not there.
    pub(super) fn buffer(&mut self, kind: u32) -> Result<&mut Vec<u8>, Status> {
        let buffer = match kind {
            0 => self.stream().map(|stream| &mut stream.request.body),
            1 => self.response().map(|response| &mut response.body),
            4 => self.call_answer.as_mut().map(|answer| &mut answer.body),
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
