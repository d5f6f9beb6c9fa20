//! What both faces share: the answer of the live configuration, how long it may be kept, and its
//! count. A face reads a message, asks here, and writes the message that comes back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, CellId};
use crate::directory::{Classified, Directory, NotFound};
use crate::live::{Live, State};
use crate::metrics::{Method, Metrics, Outcome, Transport};
use crate::request::{ClassifyRequest, InvalidRequest};

/// The longest question either face accepts, in bytes; a full set of claims is a tenth of it.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The longest error message, in characters: gRPC sends it as a header, and it may quote the question.
const MAX_MESSAGE: usize = 300;

/// The service behind the faces.
#[derive(Debug, Clone)]
pub struct Service {
    live: Live,
    metrics: Arc<Metrics>,
}

/// An answer of either face.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The message, or why there is none.
    pub outcome: Result<T, Refusal>,
    /// Whether clients may keep it.
    pub keep: Keep,
}

/// Why there is no Cell in the answer; a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// gRPC `NOT_FOUND`, HTTP 404.
    NotFound(String),
    /// gRPC `INVALID_ARGUMENT`, HTTP 400.
    Invalid(String),
}

/// How long clients may keep an answer, written as `Cache-Control` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In whole seconds.
    For(Duration),
    /// Not at all.
    Never,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(ttl) => write!(f, "max-age={}", ttl.as_secs()),
            Self::Never => f.write_str("no-store"),
        }
    }
}

impl From<NotFound> for Refusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(brief(&not_found.to_string()))
    }
}

impl From<InvalidRequest> for Refusal {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(brief(&invalid.to_string()))
    }
}

fn brief(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

impl Service {
    /// A service that answers from `live`.
    #[must_use]
    pub fn new(live: Live, metrics: Arc<Metrics>) -> Self {
        Self { live, metrics }
    }

    /// What is served now.
    #[must_use]
    pub fn state(&self) -> State {
        self.live.borrow().clone()
    }

    /// The service's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a question about a Cell, if it could be read.
    pub fn classify<T>(
        &self,
        transport: Transport,
        request: Result<ClassifyRequest, InvalidRequest>,
        write: impl FnOnce(Classified<'_>) -> T,
    ) -> Answer<T> {
        let by = request.as_ref().map_or("", ClassifyRequest::by);
        self.answer(transport, Method::Classify, by, |directory| {
            let request = request?;
            Ok(write(directory.classify(&request)?))
        })
    }

    /// Answers with all Cells.
    pub fn cells<T>(&self, transport: Transport, write: impl FnOnce(&Directory) -> T) -> Answer<T> {
        self.answer(transport, Method::GetCells, "", |directory| Ok(write(directory)))
    }

    /// Answers with the Cell of this number.
    pub fn cell<T>(
        &self,
        transport: Transport,
        id: i64,
        write: impl FnOnce(&Cell) -> T,
    ) -> Answer<T> {
        self.answer(transport, Method::GetCell, "", |directory| {
            let id = CellId::try_from(id)
                .map_err(|message| InvalidRequest::Unreadable(format!("cell_id: {message}")))?;
            Ok(write(directory.cell(id)?))
        })
    }

    fn answer<T>(
        &self,
        transport: Transport,
        method: Method,
        by: &str,
        ask: impl FnOnce(&Directory) -> Result<T, Refusal>,
    ) -> Answer<T> {
        let config = self.state().config;
        let outcome = ask(&config.directory);
        let (label, keep) = match &outcome {
            Ok(_) => (Outcome::Found, Keep::For(config.cache.positive)),
            Err(Refusal::NotFound(_)) => (Outcome::NotFound, Keep::For(config.cache.negative)),
            Err(Refusal::Invalid(_)) => (Outcome::Invalid, Keep::Never),
        };
        self.metrics.answered(transport, method, label);
        tracing::debug!(
            transport = transport.as_str(),
            method = method.as_str(),
            by,
            outcome = label.as_str(),
            "answered"
        );
        Answer { outcome, keep }
    }
}
