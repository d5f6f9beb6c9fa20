//! The classify API of the Topology Service (protojson over REST): which requests a rule makes, and
//! how responses are read. Transport is the caller's.

mod outcome;
mod request;
mod response;

pub use outcome::CallOutcome;
pub(crate) use request::{ClassifyEntry, claim_parts};
pub use response::{CallError, CallResponse, CallResult};
pub(crate) use response::{CellAddresses, Classification, is_address, read};

/// The path to which classify requests are POSTed.
pub const CLASSIFY_PATH: &str = "/v1/classify";

#[cfg(test)]
mod tests;
