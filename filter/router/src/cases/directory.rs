//! A fake Topology Service: its directory, and its responses on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::classify::{CallError, CallResponse, CallResult};

/// The Cells of each type and claim; values are addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// The result for `FIRST_CELL`.
    #[serde(default)]
    pub first_cell: Option<String>,
    /// The results for `CELL_ID`, by id.
    #[serde(default)]
    pub cells: BTreeMap<String, String>,
    /// The results for `SESSION_PREFIX`, by prefix.
    #[serde(default)]
    pub session_prefixes: BTreeMap<String, String>,
    /// The results for claims, by claim and then by value.
    #[serde(default)]
    pub claims: BTreeMap<String, BTreeMap<String, String>>,
    /// The addresses of registries, by their Cell's address.
    #[serde(default)]
    pub registries: BTreeMap<String, String>,
    /// The values whose classification times out; `*` means all.
    #[serde(default)]
    pub fails: Vec<String>,
}

impl Directory {
    /// Returns the response to one `POST /v1/classify`.
    ///
    /// # Errors
    /// [`CallError::Timeout`] for a value in `fails`.
    pub fn respond(&self, body: &[u8]) -> CallResult {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.fails.iter().any(|value| value == "*" || contains(&request, value)) {
            return Err(CallError::Timeout);
        }
        let found = self.find(&request).and_then(|(address, claim)| {
            Some(self.found(self.targeted(address, &request)?, claim))
        });
        let (status, body) = match found {
            Some(body) => (200, body),
            None => (404, json!({"code": 5, "message": "cell not found", "details": []})),
        };
        Ok(CallResponse { status, body: body.to_string().into_bytes(), ..CallResponse::default() })
    }

    fn find<'d>(&'d self, request: &'d Value) -> Option<(&'d str, Option<&'d Value>)> {
        let value = request.get("value").and_then(Value::as_str).unwrap_or_default();
        let by_type = |address: Option<&'d String>| address.map(|a| (a.as_str(), None));
        match request.get("type").and_then(Value::as_str) {
            Some("FIRST_CELL") => by_type(self.first_cell.as_ref()),
            Some("CELL_ID") => by_type(self.cells.get(value)),
            Some("SESSION_PREFIX") => by_type(self.session_prefixes.get(value)),
            _ => request.get("claims")?.as_array()?.iter().find_map(|claim| {
                let (key, value) = claim.as_object()?.iter().next()?;
                let address = self.claims.get(key)?.get(value.as_str()?)?;
                Some((address.as_str(), Some(claim)))
            }),
        }
    }

    /// Returns a Cell's address for the request's target, or `None` if it has no registry.
    fn targeted<'d>(&'d self, address: &'d str, request: &Value) -> Option<&'d str> {
        match request.get("target").and_then(Value::as_str) {
            Some("REGISTRY") => self.registries.get(address).map(String::as_str),
            _ => Some(address),
        }
    }

    fn found(&self, address: &str, claim: Option<&Value>) -> Value {
        let mut proxy = json!({"address": address});
        if let (Some(registry), Some(proxy)) = (self.registries.get(address), proxy.as_object_mut())
        {
            proxy.insert("registryAddress".to_owned(), registry.as_str().into());
        }
        match claim {
            Some(claim) => json!({"action": "PROXY", "proxy": proxy, "matchedClaim": claim}),
            None => json!({"action": "PROXY", "proxy": proxy}),
        }
    }
}

/// Returns whether any text in `json` equals `wanted`.
fn contains(json: &Value, wanted: &str) -> bool {
    match json {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| contains(item, wanted)),
        Value::Object(fields) => fields.values().any(|value| contains(value, wanted)),
        _ => false,
    }
}
