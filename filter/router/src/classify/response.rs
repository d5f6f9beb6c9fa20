//! The responses to classify requests.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{RegistryDesign, Target};

/// The longest address, in bytes.
const MAX_ADDRESS: usize = 255;

/// The result of one call: an HTTP response of any status, or none.
pub type CallResult = Result<CallResponse, CallError>;

/// The parts of an HTTP response that the router reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallResponse {
    /// The status code.
    pub status: u16,
    /// The `cache-control` header.
    pub cache_control: Option<Vec<u8>>,
    /// The `retry-after` header.
    pub retry_after: Option<Vec<u8>>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why a call has no HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// No response arrived in time.
    Timeout,
    /// The connection failed or broke.
    Transport,
    /// The host refused to send the request.
    Dispatch,
}

/// Why the result of a call says nothing about a Cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFailure {
    /// There is no HTTP response.
    NoResponse(CallError),
    /// The status is neither 200 nor 404.
    Status(u16),
    /// The response is malformed.
    Malformed,
}

impl CallFailure {
    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(self) -> bool {
        match self {
            Self::NoResponse(_) => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..=599),
            Self::Malformed => false,
        }
    }
}

/// The addresses of a Cell, as the Topology Service returns them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CellAddresses {
    address: String,
    registry_address: Option<String>,
    /// The key of the matched claim, as `redirectRoute`.
    pub(crate) matched_claim: Option<String>,
}

impl CellAddresses {
    /// Returns whether every field is a valid header value.
    pub(crate) fn is_valid(&self) -> bool {
        is_address(&self.address)
            && self.registry_address.as_deref().is_none_or(is_address)
            && self.matched_claim.as_deref().is_none_or(is_claim_key)
    }

    /// Returns the address for `target`, or `None` if the Cell has no registry.
    pub(crate) fn for_target(&self, target: Target, design: RegistryDesign) -> Option<&str> {
        match (design, target) {
            (RegistryDesign::Answer, Target::Registry) => self.registry_address.as_deref(),
            (RegistryDesign::Request, _) | (_, Target::Web) => Some(&self.address),
        }
    }
}

/// A definite result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Classification {
    Found(Rc<CellAddresses>),
    NotFound,
}

/// The response body. Unknown fields are ignored: newer versions of the service may add some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassifyResponse {
    action: String,
    proxy: ProxyInfo,
    #[serde(default, alias = "matched_claim")]
    matched_claim: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyInfo {
    address: String,
    #[serde(default, alias = "registry_address")]
    registry_address: Option<String>,
}

/// Reads the result of a call. Only the service's own 404 means "not found"; any response that is
/// neither that nor a well-formed `PROXY` response is a failure, which proves neither.
pub(crate) fn read(result: &CallResult) -> Result<Classification, CallFailure> {
    let response = result.as_ref().map_err(|error| CallFailure::NoResponse(*error))?;
    match response.status {
        404 if is_not_found(&response.body) => Ok(Classification::NotFound),
        200 => addresses(&response.body)
            .map(|cell| Classification::Found(Rc::new(cell)))
            .ok_or(CallFailure::Malformed),
        404 => Err(CallFailure::Malformed),
        status => Err(CallFailure::Status(status)),
    }
}

/// Returns whether the body is the Topology Service's. The 404 of an intermediary, which knows no
/// Cells, must not send a request to the first Cell. 5 is gRPC's `NOT_FOUND`.
fn is_not_found(body: &[u8]) -> bool {
    let status: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    status.is_some_and(|status| status.get("code").is_none_or(|code| *code == 5))
}

fn addresses(body: &[u8]) -> Option<CellAddresses> {
    let response: ClassifyResponse = serde_json::from_slice(body).ok()?;
    let registry = response.proxy.registry_address.filter(|address| !address.is_empty());
    let key = response.matched_claim.and_then(|claim| Some(claim.into_iter().next()?.0));
    let cell = CellAddresses {
        address: response.proxy.address,
        registry_address: registry,
        matched_claim: key.filter(|key| is_claim_key(key)),
    };
    (response.action == "PROXY" && cell.is_valid()).then_some(cell)
}

fn is_claim_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns whether `text` can be the address of a Cell: it becomes a header value and the name of a
/// cluster.
pub(crate) fn is_address(text: &str) -> bool {
    (1..=MAX_ADDRESS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}
