//! Reads a `ClassifyRequest` in protobuf's JSON form: names in camelCase or `snake_case`, enums by
//! name or number, 64-bit integers as strings or numbers, `null` as absent, unknown fields rejected.
//!
//! Responses are written by `pbjson`, requests are not read by it: it rejects a `null` that precedes
//! or follows the one field of a claim, a number that is no value of an enum has to reach the check
//! that gRPC's requests pass, too, and its errors do not name the type that a claim expects.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::claim::{Claim, ClaimKind, Scalar};
use crate::request::{ClassifyRequest, InvalidRequest, RequestFields};

/// Reads the body of a request.
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

/// A `Claim`, whose fields are a oneof: at most one of them is set.
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
