//! The host calls of the filter, with bytes as arguments and `Result` as the return type. This is the
//! only module that uses `proxy_wasm::hostcalls`: the SDK's higher-level helpers unwrap, so a single
//! request with bytes that are not UTF-8 would kill the worker's VM.

use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};
use router::{Headers, Millis};

/// The length to which the body of a response is cut, in bytes. Cut JSON is malformed and counts as a
/// failure.
const MAX_BODY: usize = 64 * 1024;

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A host call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostError;

/// An HTTP call to one of Envoy's clusters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpCall<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) timeout: Duration,
}

/// The proxy-wasm host. Methods act on the host's current stream: that of the running callback, or the
/// one entered since.
pub(crate) trait Host {
    /// Makes a stream the current one; fails if it no longer exists.
    fn enter(&self, context: u32) -> Result<(), HostError>;

    /// Sets the tick period in milliseconds; 0 disables it.
    fn set_tick_period(&self, milliseconds: u64);

    /// Returns the time since the Unix epoch.
    fn now(&self) -> Millis;

    fn log(&self, level: Level, message: &str);

    fn configuration(&self) -> Vec<u8>;

    /// Returns the first value of a header.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Returns all headers. By name the host returns only the first value, which would hide a second
    /// `authorization` header.
    fn request_headers(&self) -> Headers;

    /// Replaces all values of a header.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Removes all values of a header.
    fn remove_request_header(&self, name: &str) -> Result<(), HostError>;

    /// Replaces all values of a header.
    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Makes Envoy select the route again, based on the headers set so far.
    fn clear_route_cache(&self) -> Result<(), HostError>;

    /// Sends a call and returns the token of its response.
    fn call(&self, call: &HttpCall<'_>) -> Result<u32, HostError>;

    /// Returns a header of the response whose callback is running.
    fn call_response_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Returns the body of the response whose callback is running, cut to 64 KiB.
    fn call_response_body(&self, size: usize) -> Vec<u8>;

    /// Responds to the request.
    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), HostError>;

    /// Resumes a paused request.
    fn resume_request(&self) -> Result<(), HostError>;

    /// Defines a metric and returns its id. A name stands for the same metric in all workers.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError>;

    /// Adds to a counter or a gauge.
    fn increment_metric(&self, id: u32, by: i64);

    /// Adds a sample to a histogram.
    fn record_metric(&self, id: u32, sample: u64);

    /// Returns the size of the VM's memory, which never shrinks.
    fn memory_bytes(&self) -> u64;
}

/// Envoy, or another proxy-wasm host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Envoy;

impl router::SharedStore for Envoy {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        hostcalls::get_shared_data(key).ok()?.0
    }

    fn set(&self, key: &str, value: &[u8]) {
        // The last writer wins. A value that is not stored is only a cache miss.
        let _ = hostcalls::set_shared_data(key, Some(value), None);
    }
}

fn failed(_: Status) -> HostError {
    HostError
}

impl Host for Envoy {
    fn enter(&self, context: u32) -> Result<(), HostError> {
        hostcalls::set_effective_context(context).map_err(failed)
    }

    fn set_tick_period(&self, milliseconds: u64) {
        // Envoy accepts any period.
        let _ = hostcalls::set_tick_period(Duration::from_millis(milliseconds));
    }

    fn now(&self) -> Millis {
        let now = hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH);
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        // A failure to log cannot be reported.
        let _ = hostcalls::log(level, message);
    }

    fn configuration(&self) -> Vec<u8> {
        let read = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        read.ok().flatten().unwrap_or_default()
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
    }

    fn request_headers(&self) -> Headers {
        hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value))
            .map_err(failed)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, name).map_err(failed)
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value))
            .map_err(failed)
    }

    fn clear_route_cache(&self) -> Result<(), HostError> {
        // Envoy does this implicitly for ABI 0.2.1 and older, for which SDK 0.2 builds. Newer modules
        // must call this function, which only Envoy has.
        hostcalls::call_foreign_function("clear_route_cache", None).map(drop).map_err(failed)
    }

    fn call(&self, call: &HttpCall<'_>) -> Result<u32, HostError> {
        let HttpCall { cluster, headers, body, timeout } = *call;
        hostcalls::dispatch_http_call(cluster, headers.to_vec(), Some(body), vec![], timeout)
            .map_err(failed)
    }

    fn call_response_header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()
    }

    fn call_response_body(&self, size: usize) -> Vec<u8> {
        let read = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size.min(MAX_BODY));
        read.ok().flatten().unwrap_or_default()
    }

    /// Responds to the request.
    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), HostError> {
        hostcalls::send_http_response(u32::from(status), headers.to_vec(), Some(body))
            .map_err(failed)
    }

    fn resume_request(&self) -> Result<(), HostError> {
        hostcalls::resume_http_request().map_err(failed)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).map_err(failed)
    }

    fn increment_metric(&self, id: u32, by: i64) {
        // A failure to update a metric cannot be reported.
        let _ = hostcalls::increment_metric(id, by);
    }

    fn record_metric(&self, id: u32, sample: u64) {
        let _ = hostcalls::record_metric(id, sample);
    }

    #[cfg(target_arch = "wasm32")]
    fn memory_bytes(&self) -> u64 {
        const PAGE: usize = 64 * 1024;
        u64::try_from(core::arch::wasm32::memory_size::<0>() * PAGE).unwrap_or(u64::MAX)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn memory_bytes(&self) -> u64 {
        0
    }
}
