//! Every metric: name, labels and help, in one place. No value of a request is ever a label.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use runtime::metrics_page::MetricsPage;

use crate::live::ConfigState;

/// The interface on which a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// JSON over HTTP.
    Rest,
    /// Protobuf over HTTP/2.
    Grpc,
}

/// The method that a request calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Returns the Cell of a route, a token or a session.
    Classify,
    /// Returns all Cells.
    GetCells,
    /// Returns one Cell by its number.
    GetCell,
}

/// The result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// A Cell, or the list of them.
    Found,
    /// No Cell matches.
    NotFound,
    /// The request is invalid.
    Invalid,
}

/// The result of reading a changed configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReloadResult {
    /// It is being served.
    Loaded,
    /// It is invalid; the previous configuration stays in use.
    Refused,
}

macro_rules! labels {
    ($($name:ident { $($variant:ident => $text:literal),+ })+) => {$(
        impl $name {
            /// Returns the value of the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
                self.as_str().encode(encoder)
            }
        }
    )+};
}

labels! {
    Transport { Rest => "rest", Grpc => "grpc" }
    Method { Classify => "classify", GetCells => "get_cells", GetCell => "get_cell" }
    RequestOutcome { Found => "found", NotFound => "not_found", Invalid => "invalid" }
    ReloadResult { Loaded => "loaded", Refused => "refused" }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    transport: Transport,
    method: Method,
    outcome: RequestOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: ReloadResult,
}

/// The metrics of one service. They are no globals, so that several services can run in one process.
#[derive(Debug)]
pub struct Metrics {
    page: MetricsPage,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    requests: Family<RequestLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    generation: Gauge,
    file_served: Gauge,
    cells: Gauge,
}

impl Metrics {
    /// Makes the metrics of a service that serves `state`.
    #[must_use]
    pub fn new(state: &ConfigState) -> Self {
        let counts = Counts::default();
        for result in [ReloadResult::Loaded, ReloadResult::Refused] {
            drop(counts.reloads.get_or_create(&ReloadLabels { result }));
        }
        counts.show(state);
        let version = env!("CARGO_PKG_VERSION");
        let page = MetricsPage::new("topology", version, |registry| counts.register(registry));
        Self { page, counts }
    }

    /// Returns the page for scrapers.
    #[must_use]
    pub fn page(&self) -> &MetricsPage {
        &self.page
    }

    /// Counts a request.
    pub fn request(&self, transport: Transport, method: Method, outcome: RequestOutcome) {
        let labels = RequestLabels { transport, method, outcome };
        self.counts.requests.get_or_create(&labels).inc();
    }

    /// Counts a reload, and shows the state after it.
    pub fn reloaded(&self, result: ReloadResult, state: &ConfigState) {
        self.counts.reloads.get_or_create(&ReloadLabels { result }).inc();
        self.counts.show(state);
    }
}

impl Counts {
    fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests by outcome", self.requests.clone());
        let help = "Changed configuration files by the result of reading them";
        registry.register("config_reloads", help, self.reloads.clone());
        let help = "Number of configurations served since the start";
        registry.register("config_generation", help, self.generation.clone());
        let help = "1 while the content of the file is being served, 0 while it is rejected";
        registry.register("config_file_served", help, self.file_served.clone());
        registry.register("cells", "Cells in the configuration", self.cells.clone());
    }

    fn show(&self, state: &ConfigState) {
        self.generation.set(i64::try_from(state.generation).unwrap_or(i64::MAX));
        self.file_served.set(state.refused.is_none().into());
        let cells = state.config.directory.cells().len();
        self.cells.set(i64::try_from(cells).unwrap_or(i64::MAX));
    }
}
