//! What the REST and the gRPC interface share: the lookup in the live configuration, how long
//! clients may cache its result, and the metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, CellId};
use crate::directory::{Classified, Directory, NotFound};
use crate::live::{ConfigState, LiveConfig};
use crate::metrics::{Method, Metrics, RequestOutcome, Transport};
use crate::request::{ClassifyRequest, InvalidRequest};

/// The longest request that is accepted, in bytes; a full set of claims is a tenth of it.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The longest error message, in characters. gRPC sends it as a header, and it may quote the request.
const MAX_MESSAGE: usize = 300;

/// The service behind both interfaces.
#[derive(Debug, Clone)]
pub struct Service {
    live: LiveConfig,
    metrics: Arc<Metrics>,
}

/// The result of a request, which the interface writes as its own kind of response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// The message, or an error.
    pub result: Result<T, RequestError>,
    /// How long clients may cache it.
    pub caching: Caching,
}

/// Why a request has no Cell as its result; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// gRPC `NOT_FOUND`, HTTP 404.
    NotFound(String),
    /// gRPC `INVALID_ARGUMENT`, HTTP 400.
    Invalid(String),
}

/// How long clients may cache a response, displayed as the value of `Cache-Control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// In whole seconds.
    MaxAge(Duration),
    /// Never.
    NoStore,
}

impl fmt::Display for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxAge(ttl) => write!(f, "max-age={}", ttl.as_secs()),
            Self::NoStore => f.write_str("no-store"),
        }
    }
}

impl From<NotFound> for RequestError {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(shortened(&not_found.to_string()))
    }
}

impl From<InvalidRequest> for RequestError {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(shortened(&invalid.to_string()))
    }
}

fn shortened(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

impl Service {
    /// Makes a service of the configuration in `live`.
    #[must_use]
    pub fn new(live: LiveConfig, metrics: Arc<Metrics>) -> Self {
        Self { live, metrics }
    }

    /// Returns the configuration that is being served.
    #[must_use]
    pub fn state(&self) -> ConfigState {
        self.live.borrow().clone()
    }

    /// Returns the metrics of the service.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Classifies a request, if it is valid.
    pub fn classify<T>(
        &self,
        transport: Transport,
        request: Result<ClassifyRequest, InvalidRequest>,
        write: impl FnOnce(Classified<'_>) -> T,
    ) -> Reply<T> {
        let by = request.as_ref().map_or("", ClassifyRequest::by);
        self.reply(transport, Method::Classify, by, |directory| {
            let request = request?;
            Ok(write(directory.classify(&request)?))
        })
    }

    /// Returns all Cells.
    pub fn cells<T>(&self, transport: Transport, write: impl FnOnce(&Directory) -> T) -> Reply<T> {
        self.reply(transport, Method::GetCells, "", |directory| Ok(write(directory)))
    }

    /// Returns the Cell with this number.
    pub fn cell<T>(
        &self,
        transport: Transport,
        id: i64,
        write: impl FnOnce(&Cell) -> T,
    ) -> Reply<T> {
        self.reply(transport, Method::GetCell, "", |directory| {
            let id = CellId::try_from(id)
                .map_err(|message| InvalidRequest::Unreadable(format!("cell_id: {message}")))?;
            Ok(write(directory.cell(id)?))
        })
    }

    fn reply<T>(
        &self,
        transport: Transport,
        method: Method,
        by: &str,
        look_up: impl FnOnce(&Directory) -> Result<T, RequestError>,
    ) -> Reply<T> {
        let config = self.state().config;
        let result = look_up(&config.directory);
        let (outcome, caching) = match &result {
            Ok(_) => (RequestOutcome::Found, Caching::MaxAge(config.cache.positive)),
            Err(RequestError::NotFound(_)) => {
                (RequestOutcome::NotFound, Caching::MaxAge(config.cache.negative))
            }
            Err(RequestError::Invalid(_)) => (RequestOutcome::Invalid, Caching::NoStore),
        };
        self.metrics.request(transport, method, outcome);
        tracing::debug!(
            transport = transport.as_str(),
            method = method.as_str(),
            by,
            outcome = outcome.as_str(),
            "request"
        );
        Reply { result, caching }
    }
}
