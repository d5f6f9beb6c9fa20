//! A proxy-wasm host for tests: Envoy's side of the ABI, without Envoy.
//!
//! A [`FilterHost`] holds the state a filter works on, as Envoy does: tests do what a client or
//! an upstream would do, and then ask what the state is. No order of hostcalls is prescribed, and
//! nothing is shared between hosts, so tests run in parallel.
//!
//! What the filter does that would crash or hang an Envoy (resuming twice, answering twice) is an
//! error of the method that let it happen, as is a trap.

pub mod abi;
mod guest;
mod headers;
mod imports;
mod metrics;
mod module;
mod shared;
mod start;
mod state;

use std::fmt;

use anyhow::{Context as _, Result, anyhow, bail};
use wasmtime::{Instance, Store, WasmParams, WasmResults};

pub use headers::HeaderMap;
pub use module::FilterModule;
pub use start::StartError;
pub use state::{Call, CallId, LocalReply, LogLine, Outcome, StreamId};

use state::{ContextId, Message, State, Stream, Tick};

/// What one method of the host may burn: an endless loop ends as a trap, in about a second.
const FUEL: u64 = 2_000_000_000;

/// Envoy's `StopIteration`.
const PAUSE: u32 = 1;

/// A VM with one filter in it, configured.
pub struct FilterHost {
    store: Store<State>,
    instance: Instance,
    root: ContextId,
    last_context: ContextId,
}

/// What clients, upstreams and time do.
impl FilterHost {
    /// A request arrives, without a body.
    ///
    /// # Errors
    /// A trap, or a misuse of the host.
    pub fn on_request_headers<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        headers: impl IntoIterator<Item = (K, V)>,
    ) -> Result<StreamId> {
        self.refuel()?;
        let stream = StreamId(self.new_context());
        let headers: HeaderMap = headers.into_iter().collect();
        let count = headers.len();
        let request = Message { headers, ..Message::default() };
        let record = Stream { root: self.root, request, ..Stream::default() };
        self.store.data_mut().streams.insert(stream, record);
        self.call::<_, ()>(stream.0, "proxy_on_context_create", (stream.0, self.root))?;
        let action =
            self.call::<_, u32>(stream.0, "proxy_on_request_headers", (stream.0, count, 1))?;
        self.record(stream)?.request_paused = action == Some(PAUSE);
        Ok(stream)
    }

    /// The upstream's response headers arrive, or those of the filter's own reply.
    ///
    /// # Errors
    /// A trap, a misuse of the host, or a stream that has ended.
    pub fn on_response_headers<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: StreamId,
        headers: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        self.refuel()?;
        self.check_open(stream)?;
        let headers: HeaderMap = headers.into_iter().collect();
        let count = headers.len();
        let response = Message { headers, ..Message::default() };
        self.record(stream)?.response = Some(response);
        let action =
            self.call::<_, u32>(stream.0, "proxy_on_response_headers", (stream.0, count, 1))?;
        self.record(stream)?.response_paused = action == Some(PAUSE);
        Ok(())
    }

    /// The client is served, or has gone. Calls stay open: their answers come late.
    ///
    /// # Errors
    /// A trap, a misuse of the host, or a stream that has ended already.
    pub fn end_stream(&mut self, stream: StreamId) -> Result<()> {
        self.refuel()?;
        self.check_open(stream)?;
        if self.call::<_, u32>(stream.0, "proxy_on_done", stream.0)? == Some(0) {
            self.store.data_mut().unfinished.insert(stream.0);
        }
        self.call::<_, ()>(stream.0, "proxy_on_log", stream.0)?;
        if !self.store.data().unfinished.contains(&stream.0) {
            self.call::<_, ()>(stream.0, "proxy_on_delete", stream.0)?;
            self.store.data_mut().live.remove(&stream.0);
        }
        Ok(())
    }

    /// A called service answers. A timeout looks the same: Envoy makes it a 504.
    ///
    /// # Errors
    /// A trap, a misuse of the host, or a call that is not open.
    pub fn answer<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        call: CallId,
        status: u16,
        headers: impl IntoIterator<Item = (K, V)>,
        body: impl AsRef<[u8]>,
    ) -> Result<()> {
        let mut all: HeaderMap = [(":status", status.to_string())].into_iter().collect();
        for (name, value) in headers {
            all.add(name.as_ref(), value.as_ref().to_vec());
        }
        let body = body.as_ref().to_vec();
        self.deliver(call, Some(Message { headers: all, trailers: HeaderMap::default(), body }))
    }

    /// A call ends without an answer: it was reset. Envoy announces it with no headers at all.
    ///
    /// # Errors
    /// A trap, a misuse of the host, or a call that is not open.
    pub fn fail(&mut self, call: CallId) -> Result<()> {
        self.deliver(call, None)
    }

    /// A call takes longer than its timeout.
    ///
    /// # Errors
    /// A trap, a misuse of the host, or a call that is not open.
    pub fn time_out(&mut self, call: CallId) -> Result<()> {
        let headers = [("content-type", "text/plain")];
        self.answer(call, 504, headers, "upstream request timeout")
    }

    /// Time passes, and every timer the filter set fires whenever it is due, as often as its
    /// period says.
    ///
    /// # Errors
    /// A trap, or a misuse of the host.
    pub fn run_for(&mut self, milliseconds: u64) -> Result<()> {
        let end = self.store.data().now_ns.saturating_add(milliseconds.saturating_mul(1_000_000));
        while let Some((root, tick)) = self.next_tick(end) {
            let state = self.store.data_mut();
            state.now_ns = state.now_ns.max(tick.due_ns);
            state.ticks.insert(root, Tick::set(tick.period_ms, state.now_ns));
            self.refuel()?;
            self.call::<_, ()>(root, "proxy_on_tick", root)?;
        }
        self.store.data_mut().now_ns = end;
        Ok(())
    }

    /// Sets the clock, in milliseconds since 1970.
    pub fn set_time(&mut self, milliseconds: u64) {
        self.store.data_mut().now_ns = milliseconds.saturating_mul(1_000_000);
    }

    /// Sets the clock forward.
    pub fn pass_time(&mut self, milliseconds: u64) {
        let now = &mut self.store.data_mut().now_ns;
        *now = now.saturating_add(milliseconds.saturating_mul(1_000_000));
    }

    /// Sets what `proxy_get_property` gives for a path.
    pub fn set_property(&mut self, path: &[&str], value: impl AsRef<[u8]>) {
        let path = abi::encode_property_path(path);
        self.store.data_mut().properties.insert(path, value.as_ref().to_vec());
    }

    /// Forgets a cluster: calls to it are refused from now on.
    pub fn remove_cluster(&mut self, name: &str) {
        self.store.data_mut().unknown_clusters.insert(name.to_owned());
    }

    /// Calls of functions that only Envoy has fail from now on, as in another host.
    pub fn remove_foreign_functions(&mut self) {
        self.store.data_mut().has_foreign_functions = false;
    }

    fn next_tick(&self, end_ns: u64) -> Option<(ContextId, Tick)> {
        let due = self.store.data().ticks.iter().filter(|(_, tick)| tick.due_ns <= end_ns);
        due.min_by_key(|(_, tick)| tick.due_ns).map(|(root, tick)| (*root, *tick))
    }

    fn deliver(&mut self, call: CallId, answer: Option<Message>) -> Result<()> {
        self.refuel()?;
        let open = self.store.data_mut().calls.remove(&call);
        let root = open.with_context(|| format!("{call:?} is not open"))?.root;
        let headers = answer.as_ref().map_or(0, |answer| answer.headers.len());
        let body = answer.as_ref().map_or(0, |answer| answer.body.len());
        let parameters = (root, call.0, headers, u32::try_from(body)?, 0);
        self.store.data_mut().call_answer = answer;
        let outcome = self.call::<_, ()>(root, "proxy_on_http_call_response", parameters);
        self.store.data_mut().call_answer = None;
        outcome.map(drop)
    }
}

/// What became of it.
impl FilterHost {
    /// Where a request stands.
    ///
    /// # Errors
    /// When the stream is another host's.
    pub fn outcome(&self, stream: StreamId) -> Result<Outcome> {
        self.seen(stream).map(Stream::outcome)
    }

    /// The request's headers as the upstream would get them now.
    ///
    /// # Errors
    /// When the stream is another host's.
    pub fn request_headers(&self, stream: StreamId) -> Result<&HeaderMap> {
        self.seen(stream).map(|stream| &stream.request.headers)
    }

    /// One request header, as text.
    #[must_use]
    pub fn header(&self, stream: StreamId, name: &str) -> Option<String> {
        self.request_headers(stream).ok()?.text(name)
    }

    /// The response's headers as the client would get them now.
    ///
    /// # Errors
    /// When the stream is another host's, or has no response.
    pub fn response_headers(&self, stream: StreamId) -> Result<&HeaderMap> {
        let response = self.seen(stream)?.response.as_ref();
        response.map(|response| &response.headers).context("no response yet")
    }

    /// What the filter answered in place of an upstream.
    #[must_use]
    pub fn local_reply(&self, stream: StreamId) -> Option<&LocalReply> {
        self.seen(stream).ok()?.local_reply.as_ref()
    }

    /// How often the filter had Envoy choose the route anew.
    #[must_use]
    pub fn route_cache_clears(&self, stream: StreamId) -> u32 {
        self.seen(stream).map_or(0, |stream| stream.route_cache_clears)
    }

    /// Whether the request's headers changed after the filter last had the route chosen.
    #[must_use]
    pub fn route_is_stale(&self, stream: StreamId) -> bool {
        self.seen(stream).is_ok_and(|stream| stream.route_is_stale)
    }

    /// Calls without an answer yet, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.store.data().calls.values().cloned().collect()
    }

    /// How many calls were made since the start.
    #[must_use]
    pub fn calls_made(&self) -> u32 {
        self.store.data().calls_made
    }

    /// Everything the filter logged, at every level.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.store.data().logs
    }

    /// The value of a counter or gauge, if the filter defined it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.store.data().metrics.value(name)
    }

    /// The names of all metrics the filter defined, in order.
    #[must_use]
    pub fn metric_names(&self) -> Vec<&str> {
        self.store.data().metrics.names()
    }

    /// The samples of a histogram, if the filter defined it.
    #[must_use]
    pub fn samples(&self, name: &str) -> Option<&[u64]> {
        self.store.data().metrics.samples(name)
    }

    /// How often the filter wants its timer to fire, in milliseconds; 0 is never.
    #[must_use]
    pub fn tick_period_ms(&self) -> u32 {
        self.store.data().ticks.get(&self.root).map_or(0, |tick| tick.period_ms)
    }

    /// What the last thing that happened cost, in wasmtime's fuel: exact, and the same on every
    /// machine.
    #[must_use]
    pub fn fuel_of_last_call(&self) -> u64 {
        FUEL.saturating_sub(self.store.get_fuel().unwrap_or(FUEL))
    }

    /// How large the VM's memory has grown, in bytes; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&mut self) -> usize {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }
}

impl FilterHost {
    /// Calls an export with a context active; `None` when the module has no such export.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: ContextId,
        export: &str,
        parameters: P,
    ) -> Result<Option<R>> {
        let Some(function) = self.instance.get_func(&mut self.store, export) else {
            return Ok(None);
        };
        let function = function.typed::<P, R>(&self.store)?;
        self.store.data_mut().active = context;
        let outcome = function.call(&mut self.store, parameters);
        let result = outcome.map_err(|trap| self.explain(export, &trap))?;
        let misuse = std::mem::take(&mut self.store.data_mut().misuse);
        if misuse.is_empty() { Ok(Some(result)) } else { bail!("{export}: {}", misuse.join(", ")) }
    }

    /// A trap alone says `unreachable`; the filter's last log line says why.
    fn explain(&self, export: &str, trap: &wasmtime::Error) -> anyhow::Error {
        let last = self.logs().last().map_or("nothing", |line| line.message.as_str());
        anyhow!("{export} trapped: {trap:#}\nlast logged: {last}")
    }

    fn refuel(&mut self) -> Result<()> {
        Ok(self.store.set_fuel(FUEL)?)
    }

    fn check_open(&self, stream: StreamId) -> Result<()> {
        if self.store.data().live.contains(&stream.0) {
            return Ok(());
        }
        bail!("{stream:?} has ended")
    }

    fn record(&mut self, stream: StreamId) -> Result<&mut Stream> {
        self.store.data_mut().streams.get_mut(&stream).context("unknown stream")
    }

    fn seen(&self, stream: StreamId) -> Result<&Stream> {
        self.store.data().streams.get(&stream).context("unknown stream")
    }
}

impl fmt::Debug for FilterHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterHost").field("root", &self.root).finish_non_exhaustive()
    }
}
