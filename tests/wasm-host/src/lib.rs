//! A proxy-wasm host for tests: Envoy's side of the ABI, without Envoy.
//!
//! A [`FilterHost`] holds the state a filter works on, as Envoy does: a test does what a client, an
//! upstream or the clock would do, and then inspects the state. It prescribes no order of
//! hostcalls, and hosts share nothing, so tests run in parallel.
//!
//! A method fails if the filter traps, or does what would crash or hang an Envoy: resumes a request
//! twice, or sends two local replies to one.

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
pub use state::{Call, CallId, LocalReply, LogLine, StreamId, StreamState};

use state::{ContextId, HostState, Message, Stream, Tick};

/// The fuel of one method of the host. An endless loop traps after about a second.
const FUEL: u64 = 2_000_000_000;

/// The action `StopIteration`.
const PAUSE: u32 = 1;

/// A VM with one configured filter in it.
pub struct FilterHost {
    store: Store<HostState>,
    instance: Instance,
    root: ContextId,
    last_context: ContextId,
}

/// Events: clients, upstreams and the clock.
impl FilterHost {
    /// Delivers the headers of a new request without a body.
    ///
    /// # Errors
    /// The filter traps or misuses the host.
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

    /// Delivers the headers of the response: the upstream's, or those of the filter's local reply.
    ///
    /// # Errors
    /// The filter traps or misuses the host, or the stream has ended.
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

    /// Ends a request, served or cancelled. Its calls stay outstanding, so that responses can be
    /// late.
    ///
    /// # Errors
    /// The filter traps or misuses the host, or the stream has ended already.
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

    /// Delivers the response to a call.
    ///
    /// # Errors
    /// The filter traps or misuses the host, or the call is not outstanding.
    pub fn respond<K: AsRef<[u8]>, V: AsRef<[u8]>>(
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

    /// Resets a call. Envoy reports that as a response without headers.
    ///
    /// # Errors
    /// The filter traps or misuses the host, or the call is not outstanding.
    pub fn fail(&mut self, call: CallId) -> Result<()> {
        self.deliver(call, None)
    }

    /// Lets a call time out. Envoy reports that as a 504.
    ///
    /// # Errors
    /// The filter traps or misuses the host, or the call is not outstanding.
    pub fn time_out(&mut self, call: CallId) -> Result<()> {
        let headers = [("content-type", "text/plain")];
        self.respond(call, 504, headers, "upstream request timeout")
    }

    /// Advances the clock and fires each of the filter's timers whenever it is due.
    ///
    /// # Errors
    /// The filter traps or misuses the host.
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

    /// Advances the clock without firing timers.
    pub fn pass_time(&mut self, milliseconds: u64) {
        let now = &mut self.store.data_mut().now_ns;
        *now = now.saturating_add(milliseconds.saturating_mul(1_000_000));
    }

    /// Sets the value that `proxy_get_property` returns for a path.
    pub fn set_property(&mut self, path: &[&str], value: impl AsRef<[u8]>) {
        let path = abi::encode_property_path(path);
        self.store.data_mut().properties.insert(path, value.as_ref().to_vec());
    }

    /// Removes a cluster: further calls to it are refused.
    pub fn remove_cluster(&mut self, name: &str) {
        self.store.data_mut().unknown_clusters.insert(name.to_owned());
    }

    /// Removes Envoy's foreign functions, as in a host that is not Envoy.
    pub fn remove_foreign_functions(&mut self) {
        self.store.data_mut().has_foreign_functions = false;
    }

    fn next_tick(&self, end_ns: u64) -> Option<(ContextId, Tick)> {
        let due = self.store.data().ticks.iter().filter(|(_, tick)| tick.due_ns <= end_ns);
        due.min_by_key(|(_, tick)| tick.due_ns).map(|(root, tick)| (*root, *tick))
    }

    fn deliver(&mut self, call: CallId, response: Option<Message>) -> Result<()> {
        self.refuel()?;
        let outstanding = self.store.data_mut().calls.remove(&call);
        let root = outstanding.with_context(|| format!("{call:?} is not outstanding"))?.root;
        let headers = response.as_ref().map_or(0, |response| response.headers.len());
        let body = response.as_ref().map_or(0, |response| response.body.len());
        let parameters = (root, call.0, headers, u32::try_from(body)?, 0);
        self.store.data_mut().call_response = response;
        let delivered = self.call::<_, ()>(root, "proxy_on_http_call_response", parameters);
        self.store.data_mut().call_response = None;
        delivered.map(drop)
    }
}

/// State: what the filter did.
impl FilterHost {
    /// The state of a request.
    ///
    /// # Errors
    /// The stream belongs to another host.
    pub fn stream_state(&self, stream: StreamId) -> Result<StreamState> {
        self.stream(stream).map(Stream::state)
    }

    /// The request's headers as the upstream would receive them now.
    ///
    /// # Errors
    /// The stream belongs to another host.
    pub fn request_headers(&self, stream: StreamId) -> Result<&HeaderMap> {
        self.stream(stream).map(|stream| &stream.request.headers)
    }

    /// One request header, as text.
    #[must_use]
    pub fn header(&self, stream: StreamId, name: &str) -> Option<String> {
        self.request_headers(stream).ok()?.text(name)
    }

    /// The response's headers as the client would receive them now.
    ///
    /// # Errors
    /// The stream belongs to another host, or has no response.
    pub fn response_headers(&self, stream: StreamId) -> Result<&HeaderMap> {
        let response = self.stream(stream)?.response.as_ref();
        response.map(|response| &response.headers).context("no response yet")
    }

    /// The filter's local reply.
    #[must_use]
    pub fn local_reply(&self, stream: StreamId) -> Option<&LocalReply> {
        self.stream(stream).ok()?.local_reply.as_ref()
    }

    /// How often the filter cleared Envoy's route cache.
    #[must_use]
    pub fn route_cache_clears(&self, stream: StreamId) -> u32 {
        self.stream(stream).map_or(0, |stream| stream.route_cache_clears)
    }

    /// Whether the request's headers changed after the filter last cleared the route cache.
    #[must_use]
    pub fn route_is_stale(&self, stream: StreamId) -> bool {
        self.stream(stream).is_ok_and(|stream| stream.route_is_stale)
    }

    /// The outstanding calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.store.data().calls.values().cloned().collect()
    }

    /// The number of calls the filter has made.
    #[must_use]
    pub fn calls_made(&self) -> u32 {
        self.store.data().calls_made
    }

    /// Everything the filter logged, at every level.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.store.data().logs
    }

    /// The value of a counter or gauge; `None` if the filter has not defined it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.store.data().metrics.value(name)
    }

    /// The names of all metrics the filter has defined, sorted.
    #[must_use]
    pub fn metric_names(&self) -> Vec<&str> {
        self.store.data().metrics.names()
    }

    /// The samples of a histogram; `None` if the filter has not defined it.
    #[must_use]
    pub fn samples(&self, name: &str) -> Option<&[u64]> {
        self.store.data().metrics.samples(name)
    }

    /// The tick period in milliseconds; 0 if the filter's timer is off.
    #[must_use]
    pub fn tick_period_ms(&self) -> u32 {
        self.store.data().ticks.get(&self.root).map_or(0, |tick| tick.period_ms)
    }

    /// The cost of the last event in wasmtime's fuel: exact, and the same on every machine.
    #[must_use]
    pub fn fuel_of_last_call(&self) -> u64 {
        FUEL.saturating_sub(self.store.get_fuel().unwrap_or(FUEL))
    }

    /// The size of the VM's memory in bytes; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&mut self) -> usize {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }
}

impl FilterHost {
    /// Calls an export with this context active; returns `None` if the module has no such export.
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
        let returned = function.call(&mut self.store, parameters);
        let result = returned.map_err(|trap| self.explain(export, &trap))?;
        let misuse = std::mem::take(&mut self.store.data_mut().misuse);
        if misuse.is_empty() { Ok(Some(result)) } else { bail!("{export}: {}", misuse.join(", ")) }
    }

    /// Adds the filter's last log line: a trap itself is only `unreachable`.
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

    fn stream(&self, stream: StreamId) -> Result<&Stream> {
        self.store.data().streams.get(&stream).context("unknown stream")
    }
}

impl fmt::Debug for FilterHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterHost").field("root", &self.root).finish_non_exhaustive()
    }
}
