//! Messages in protobuf's JSON form: camelCase out, camelCase or snake_case in, enums by name or
//! number in, 64-bit integers as strings out and as strings or numbers in, `null` as absent,
//! unknown fields refused.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::status::Status;
use crate::cell::{Cell, CellId, Label, SequenceRange};
use crate::claim::{Claim, ClaimKind, Scalar};
use crate::config::Config;
use crate::directory::{Classified, ClassifyRequest, ClassifyType, Directory};

/// Reads a `ClassifyRequest`.
pub(super) fn read_request(body: &[u8]) -> Result<ClassifyRequest, Status> {
    let fields: RequestFields =
        serde_json::from_slice(body).map_err(|error| Status::invalid(error.to_string()))?;
    let claims = fields.claims.unwrap_or_default().into_iter().map(|OneClaim(claim)| claim);
    let kind = fields.kind.and_then(|TypeField(kind)| kind);
    let value = fields.value.unwrap_or_default();
    Ok(ClassifyRequest::new(kind, value, claims.collect())?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFields {
    #[serde(default, rename = "type")]
    kind: Option<TypeField>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    claims: Option<Vec<OneClaim>>,
}

/// A `ClassifyType`; `None` is `UNSPECIFIED`.
struct TypeField(Option<ClassifyType>);

impl<'de> Deserialize<'de> for TypeField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = match Scalar::deserialize(deserializer)? {
            Scalar::Text(name) => type_named(&name),
            Scalar::Number(number) => type_numbered(number),
        };
        kind.map(Self).map_err(D::Error::custom)
    }
}

fn type_named(name: &str) -> Result<Option<ClassifyType>, String> {
    match name {
        "UNSPECIFIED" => Ok(None),
        "FIRST_CELL" => Ok(Some(ClassifyType::FirstCell)),
        "SESSION_PREFIX" => Ok(Some(ClassifyType::SessionPrefix)),
        "CELL_ID" => Ok(Some(ClassifyType::CellId)),
        other => Err(format!("invalid type: {other:?}")),
    }
}

fn type_numbered(number: i64) -> Result<Option<ClassifyType>, String> {
    match number {
        0 => Ok(None),
        1 => Ok(Some(ClassifyType::FirstCell)),
        2 => Ok(Some(ClassifyType::SessionPrefix)),
        3 => Ok(Some(ClassifyType::CellId)),
        other => Err(format!("invalid type: \"{other}\"")),
    }
}

/// A `Claim`, whose fields are a oneof: exactly one of them is set.
struct OneClaim(Claim);

impl<'de> Deserialize<'de> for OneClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneClaimVisitor).map(Self)
    }
}

struct OneClaimVisitor;

impl<'de> Visitor<'de> for OneClaimVisitor {
    type Value = Claim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one claim, such as {\"route\":\"my-group\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim, A::Error> {
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
        claim.ok_or_else(|| A::Error::custom("a claim without a field"))
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
        let Classified { cell, matched_claim } = classified;
        let proxy =
            ProxyInfo { address: &cell.address, registry_address: cell.registry_address.as_ref() };
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
}

impl<'a> From<&'a Config> for Health<'a> {
    fn from(config: &'a Config) -> Self {
        Self { status: "SERVING", env: &config.env, cells: config.directory.cells().len() }
    }
}

fn as_string<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
