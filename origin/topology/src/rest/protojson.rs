//! Messages in protobuf's JSON form: camelCase out, camelCase or snake_case in, enums by name or
//! number in, 64-bit integers as strings out and as strings or numbers in, `null` as absent,
//! unknown fields refused.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::cell::{Cell, CellId, Label, SequenceRange};
use crate::claim::{Claim, ClaimKind, Scalar};
use crate::directory::{Classified, Directory};
use crate::live::State;
use crate::request::{ClassifyRequest, InvalidRequest, RequestFields};

/// Reads a `ClassifyRequest`.
pub(super) fn read_request(body: &[u8]) -> Result<ClassifyRequest, InvalidRequest> {
    let message: RequestMessage = serde_json::from_slice(body)
        .map_err(|error| InvalidRequest::Unreadable(error.to_string()))?;
    let claims = message.claims.unwrap_or_default().into_iter().map(|OneClaim(claim)| claim);
    RequestFields {
        kind: message.kind,
        value: message.value.unwrap_or_default(),
        claims: claims.collect(),
        target: message.target,
    }
    .try_into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestMessage {
    #[serde(default, rename = "type")]
    kind: Option<Scalar>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    claims: Option<Vec<OneClaim>>,
    #[serde(default)]
    target: Option<Scalar>,
}

/// A `Claim`, whose fields are a oneof: one of them at most is set.
struct OneClaim(Option<Claim>);

impl<'de> Deserialize<'de> for OneClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneClaimVisitor).map(Self)
    }
}

struct OneClaimVisitor;

impl<'de> Visitor<'de> for OneClaimVisitor {
    type Value = Option<Claim>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one claim, such as {\"route\":\"my-group\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Claim>, A::Error> {
        let mut claim = None;
        while let Some(name) = map.next_key::<String>()? {
            let kind = ClaimKind::from_name(&name)
                .ok_or_else(|| A::Error::custom(format!("unknown field {name:?} in a claim")))?;
            let Some(value) = map.next_value::<Option<Scalar>>()? else { continue };
            if claim.is_some() {
                return Err(A::Error::custom(format!("{name:?}: a claim has one field only")));
            }
            let valid = Claim::new(kind, value)
                .map_err(|message| A::Error::custom(format!("{name:?}: {message}")))?;
            claim = Some(valid);
        }
        Ok(claim)
    }
}

/// `ClassifyResponse`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClassifyAnswer<'a> {
    action: &'static str,
    proxy: ProxyInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_claim: Option<ClaimOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyInfo<'a> {
    address: &'a Label,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_address: Option<&'a Label>,
}

impl<'a> From<Classified<'a>> for ClassifyAnswer<'a> {
    fn from(classified: Classified<'a>) -> Self {
        let Classified { cell, address, matched_claim } = classified;
        let proxy = ProxyInfo { address, registry_address: cell.registry_address.as_ref() };
        Self { action: "PROXY", proxy, matched_claim: matched_claim.map(ClaimOut) }
    }
}

struct ClaimOut<'a>(&'a Claim);

impl Serialize for ClaimOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = self.0.kind().json_name();
        match self.0.value() {
            Scalar::Text(text) => map.serialize_entry(name, text)?,
            Scalar::Number(number) => map.serialize_entry(name, &number.to_string())?,
        }
        map.end()
    }
}

/// `GetCellsResponse`.
#[derive(Serialize)]
pub(super) struct CellList<'a> {
    cells: Vec<CellInfo<'a>>,
}

impl<'a> From<&'a Directory> for CellList<'a> {
    fn from(directory: &'a Directory) -> Self {
        Self { cells: directory.cells().map(CellInfo::from).collect() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CellInfo<'a> {
    #[serde(serialize_with = "as_string")]
    id: CellId,
    address: &'a Label,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_address: Option<&'a Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_prefix: Option<&'a Label>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sequence_ranges: Vec<RangeOut>,
}

impl<'a> From<&'a Cell> for CellInfo<'a> {
    fn from(cell: &'a Cell) -> Self {
        Self {
            id: cell.id,
            address: &cell.address,
            registry_address: cell.registry_address.as_ref(),
            session_prefix: cell.session_prefix.as_ref(),
            sequence_ranges: cell.sequence_ranges.iter().copied().map(RangeOut::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct RangeOut {
    #[serde(serialize_with = "as_string")]
    minval: i64,
    #[serde(serialize_with = "as_string")]
    maxval: i64,
}

impl From<SequenceRange> for RangeOut {
    fn from(range: SequenceRange) -> Self {
        Self { minval: range.minval(), maxval: range.maxval() }
    }
}

/// What a health probe is told.
#[derive(Serialize)]
pub(super) struct Health<'a> {
    status: &'static str,
    env: &'a str,
    cells: usize,
    generation: u64,
    /// Why the file on disk is not what is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

impl<'a> From<&'a State> for Health<'a> {
    fn from(state: &'a State) -> Self {
        Self {
            status: "SERVING",
            env: &state.config.env,
            cells: state.config.directory.cells().len(),
            generation: state.generation,
            refused: state.refused.as_deref(),
        }
    }
}

fn as_string<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
