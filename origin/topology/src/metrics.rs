//! Every metric: name, labels and help, in one place. No value of a request is ever a label.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::live::State;

/// What a scraper is answered in.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The face a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// JSON over HTTP.
    Rest,
    /// Protobuf over HTTP/2.
    Grpc,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Which Cell something belongs to.
    Classify,
    /// All Cells.
    GetCells,
    /// One Cell by its number.
    GetCell,
}

/// How it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With a Cell, or the list of them.
    Found,
    /// No Cell has what was asked for.
    NotFound,
    /// The question cannot be asked.
    Invalid,
}

/// What became of a changed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reload {
    /// It is served now.
    Loaded,
    /// It is wrong; what was served before still is.
    Refused,
}

macro_rules! labels {
    ($($name:ident { $($variant:ident => $text:literal),+ })+) => {$(
        impl $name {
            /// The label's value.
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
    Outcome { Found => "found", NotFound => "not_found", Invalid => "invalid" }
    Reload { Loaded => "loaded", Refused => "refused" }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    transport: Transport,
    method: Method,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: Reload,
}

/// The service's metrics; a value, so that several services in one process have their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    generation: Gauge,
    file_served: Gauge,
    cells: Gauge,
}

impl Metrics {
    /// Metrics of a service that serves `state`.
    #[must_use]
    pub fn new(state: &State) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("topology"),
            requests: Family::default(),
            reloads: Family::default(),
            generation: Gauge::default(),
            file_served: Gauge::default(),
            cells: Gauge::default(),
        };
        for result in [Reload::Loaded, Reload::Refused] {
            drop(metrics.reloads.get_or_create(&ReloadLabels { result }));
        }
        metrics.show(state);
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("requests", "Questions answered", self.requests.clone());
        registry.register(
            "config_reloads",
            "Changed configuration files, by what became of them",
            self.reloads.clone(),
        );
        registry.register(
            "config_generation",
            "Configurations served since the start, the present one included",
            self.generation.clone(),
        );
        registry.register(
            "config_file_served",
            "1 while the file on disk is what is served, 0 while it is refused",
            self.file_served.clone(),
        );
        registry.register("cells", "Cells in the configuration served", self.cells.clone());
        self
    }

    /// Counts an answer.
    pub fn answered(&self, transport: Transport, method: Method, outcome: Outcome) {
        self.requests.get_or_create(&RequestLabels { transport, method, outcome }).inc();
    }

    /// Counts a changed file and shows what is served after it.
    pub fn reloaded(&self, result: Reload, state: &State) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
        self.show(state);
    }

    fn show(&self, state: &State) {
        self.generation.set(i64::try_from(state.generation).unwrap_or(i64::MAX));
        self.file_served.set(state.refused.is_none().into());
        let cells = state.config.directory.cells().len();
        self.cells.set(i64::try_from(cells).unwrap_or(i64::MAX));
    }

    /// All metrics as `OpenMetrics` text, which Prometheus reads.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}
