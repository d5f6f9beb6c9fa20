//! All the filter needs from Envoy, bytes in and `Result` out; the only file that names
//! `proxy_wasm::hostcalls`. The SDK's own helpers unwrap: one request with bytes that are no UTF-8
//! would kill the worker's VM.

use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};
use router::{Headers, Millis};

/// Bytes of one answer worth reading; a longer one is cut, and cut JSON is no answer.
const MAX_ANSWER: usize = 64 * 1024;

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// How a metric's values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    Counter,
    Gauge,
    Histogram,
}

/// The host refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// An HTTP call to a cluster of Envoy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpCall<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) timeout: Duration,
}

/// The proxy-wasm host. Which stream a method is about is the host's state: the one whose callback
/// runs now, or that was entered since.
pub(crate) trait Host {
    /// Makes a stream the one that is meant; refused if it is gone.
    fn enter(&self, context: u32) -> Result<(), Refused>;

    /// Has the root context woken every so many milliseconds, first after as many; 0 is never.
    fn set_tick(&self, milliseconds: u64);

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    fn log(&self, level: Level, message: &str);

    fn configuration(&self) -> Vec<u8>;

    /// The first value.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// All of them in one call: asked for by name, the host hides every value but the first, and a
    /// second `authorization` must be seen.
    fn request_headers(&self) -> Headers;

    /// Replaces every copy.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes every copy.
    fn remove_request_header(&self, name: &str) -> Result<(), Refused>;

    /// Replaces every copy.
    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Makes Envoy choose the route anew, by the headers set until now.
    fn clear_route_cache(&self) -> Result<(), Refused>;

    /// Sends a call; the answer comes under the token returned.
    fn call(&self, call: &HttpCall<'_>) -> Result<u32, Refused>;

    /// A header of the answer whose callback runs now.
    fn answer_header(&self, name: &str) -> Option<Vec<u8>>;

    /// The body of the answer whose callback runs now, cut at 64 KiB.
    fn answer_body(&self, size: usize) -> Vec<u8>;

    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Refused>;

    /// Lets a paused request go on.
    fn resume_request(&self) -> Result<(), Refused>;

    /// The id of a metric. One name has one metric, in all workers together.
    fn define(&self, metric: Metric, name: &str) -> Result<u32, Refused>;

    /// Counts, or moves a gauge.
    fn increment(&self, id: u32, by: i64);

    /// Adds a sample to a histogram.
    fn record(&self, id: u32, sample: u64);

    /// Size of the VM's memory, which never shrinks.
    fn memory_bytes(&self) -> u64;
}

/// Envoy, or any other proxy-wasm host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Envoy;

impl router::Shared for Envoy {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        hostcalls::get_shared_data(key).ok()?.0
    }

    fn set(&self, key: &str, value: &[u8]) {
        // Whoever comes last is right; a value that is not kept is asked for again.
        let _ = hostcalls::set_shared_data(key, Some(value), None);
    }
}

fn refused(_: Status) -> Refused {
    Refused
}

impl Host for Envoy {
    fn enter(&self, context: u32) -> Result<(), Refused> {
        hostcalls::set_effective_context(context).map_err(refused)
    }

    fn set_tick(&self, milliseconds: u64) {
        // Envoy takes every period.
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
        // A log that fails has nowhere to say so.
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

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value))
            .map_err(refused)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, name).map_err(refused)
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value))
            .map_err(refused)
    }

    fn clear_route_cache(&self) -> Result<(), Refused> {
        // Envoy does it by itself for modules of ABI 0.2.1 and older, which SDK 0.2 builds; newer
        // ones must ask, by a function only Envoy has.
        hostcalls::call_foreign_function("clear_route_cache", None).map(drop).map_err(refused)
    }

    fn call(&self, call: &HttpCall<'_>) -> Result<u32, Refused> {
        let HttpCall { cluster, headers, body, timeout } = *call;
        hostcalls::dispatch_http_call(cluster, headers.to_vec(), Some(body), vec![], timeout)
            .map_err(refused)
    }

    fn answer_header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()
    }

    fn answer_body(&self, size: usize) -> Vec<u8> {
        let read = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size.min(MAX_ANSWER));
        read.ok().flatten().unwrap_or_default()
    }

    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Refused> {
        hostcalls::send_http_response(u32::from(status), headers.to_vec(), Some(body))
            .map_err(refused)
    }

    fn resume_request(&self) -> Result<(), Refused> {
        hostcalls::resume_http_request().map_err(refused)
    }

    fn define(&self, metric: Metric, name: &str) -> Result<u32, Refused> {
        let metric = match metric {
            Metric::Counter => MetricType::Counter,
            Metric::Gauge => MetricType::Gauge,
            Metric::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(metric, name).map_err(refused)
    }

    fn increment(&self, id: u32, by: i64) {
        // A metric that fails has nowhere to say so.
        let _ = hostcalls::increment_metric(id, by);
    }

    fn record(&self, id: u32, sample: u64) {
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
