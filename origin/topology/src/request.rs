//! The fields of a classify request as they arrive, and the valid request that they make.

use crate::claim::{Claim, Scalar};

/// What a request without claims is classified by; GitLab's `ClassifyType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassifyType {
    /// The first Cell of the configuration; the value is ignored.
    FirstCell,
    /// The Cell whose session prefix equals the value.
    SessionPrefix,
    /// The Cell whose number equals the value, in decimal digits.
    CellId,
}

impl ClassifyType {
    /// Returns the name of the enum's value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstCell => "FIRST_CELL",
            Self::SessionPrefix => "SESSION_PREFIX",
            Self::CellId => "CELL_ID",
        }
    }

    /// Returns the value with this name or number; `None` is `UNSPECIFIED`.
    fn read(written: &Scalar) -> Result<Option<Self>, InvalidRequest> {
        match (written.as_text(), written.as_number()) {
            (Some("UNSPECIFIED"), _) | (_, Some(0)) => Ok(None),
            (Some("FIRST_CELL"), _) | (_, Some(1)) => Ok(Some(Self::FirstCell)),
            (Some("SESSION_PREFIX"), _) | (_, Some(2)) => Ok(Some(Self::SessionPrefix)),
            (Some("CELL_ID"), _) | (_, Some(3)) => Ok(Some(Self::CellId)),
            _ => Err(InvalidRequest::Type(written.to_string())),
        }
    }
}

/// Which address of the Cell is requested; the `target` of ADR 017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The address for web and API requests.
    Web,
    /// The address for container registry requests.
    Registry,
}

impl Target {
    /// Returns the value with this name or number; `None` is unspecified. The ADR writes the names
    /// in lower case, protobuf's style guide in upper case after the name of the enum.
    fn read(written: &Scalar) -> Result<Option<Self>, InvalidRequest> {
        let upper = written.as_text().map(str::to_ascii_uppercase);
        let name = upper.as_deref().map(|name| name.strip_prefix("TARGET_TYPE_").unwrap_or(name));
        match (name, written.as_number()) {
            (Some("UNSPECIFIED"), _) | (_, Some(0)) => Ok(None),
            (Some("WEB"), _) | (_, Some(1)) => Ok(Some(Self::Web)),
            (Some("REGISTRY"), _) | (_, Some(2)) => Ok(Some(Self::Registry)),
            _ => Err(InvalidRequest::Target(written.to_string())),
        }
    }
}

/// The fields of a `ClassifyRequest` message as they arrived; `None` and empty are absent.
#[derive(Debug, Clone, Default)]
pub struct RequestFields {
    /// `type`, by name or number.
    pub kind: Option<Scalar>,
    /// `value`.
    pub value: String,
    /// `claims`; `None` is a claim without a field.
    pub claims: Vec<Option<Claim>>,
    /// `target`, by name or number.
    pub target: Option<Scalar>,
}

/// A valid request: by type and value, or by claims in the order in which to try them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifyRequest {
    pub(crate) key: LookupKey,
    pub(crate) target: Option<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupKey {
    FirstCell,
    SessionPrefix(String),
    CellId(String),
    Claims(Vec<Claim>),
}

/// Why a request is invalid (gRPC `INVALID_ARGUMENT`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The message cannot be parsed; the text says why.
    #[error("{0}")]
    Unreadable(String),
    /// Neither a type nor a claim.
    #[error("invalid type: \"UNSPECIFIED\"")]
    Unspecified,
    /// An unknown type, by name or number.
    #[error("invalid type: {0:?}")]
    Type(String),
    /// An unknown target, by name or number.
    #[error("invalid target: {0:?}, expected \"WEB\" or \"REGISTRY\"")]
    Target(String),
    /// A claim without a field, by its position from 0.
    #[error("claims[{0}]: a claim without a field")]
    EmptyClaim(usize),
    /// Both a type and claims, of which neither takes precedence.
    #[error("type {:?} and claims exclude each other", .0.as_str())]
    TypeAndClaims(ClassifyType),
    /// A type that needs a value, without one.
    #[error("type {:?} needs a value", .0.as_str())]
    NoValue(ClassifyType),
    /// A Cell number that is not written in decimal digits.
    #[error("invalid cell id {0:?}: expected decimal digits")]
    CellId(String),
}

impl TryFrom<RequestFields> for ClassifyRequest {
    type Error = InvalidRequest;

    fn try_from(fields: RequestFields) -> Result<Self, Self::Error> {
        let kind = fields.kind.as_ref().map(ClassifyType::read).transpose()?.flatten();
        let target = fields.target.as_ref().map(Target::read).transpose()?.flatten();
        let claims = (0..)
            .zip(fields.claims)
            .map(|(position, claim)| claim.ok_or(InvalidRequest::EmptyClaim(position)))
            .collect::<Result<Vec<_>, _>>()?;
        let key = match (kind, claims.is_empty()) {
            (None, true) => return Err(InvalidRequest::Unspecified),
            (None, false) => LookupKey::Claims(claims),
            (Some(kind), false) => return Err(InvalidRequest::TypeAndClaims(kind)),
            (Some(kind), true) => LookupKey::of_type(kind, fields.value)?,
        };
        Ok(Self { key, target })
    }
}

impl ClassifyRequest {
    /// Returns what the request is classified by, for logs: never the value, which may be the prefix
    /// of a secret.
    #[must_use]
    pub const fn by(&self) -> &'static str {
        match self.key {
            LookupKey::FirstCell => ClassifyType::FirstCell.as_str(),
            LookupKey::SessionPrefix(_) => ClassifyType::SessionPrefix.as_str(),
            LookupKey::CellId(_) => ClassifyType::CellId.as_str(),
            LookupKey::Claims(_) => "claims",
        }
    }
}

impl LookupKey {
    fn of_type(kind: ClassifyType, value: String) -> Result<Self, InvalidRequest> {
        match kind {
            ClassifyType::FirstCell => Ok(Self::FirstCell),
            _ if value.is_empty() => Err(InvalidRequest::NoValue(kind)),
            ClassifyType::SessionPrefix => Ok(Self::SessionPrefix(value)),
            // A number too large for any Cell is valid; it is not found.
            ClassifyType::CellId if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self::CellId(value))
            }
            ClassifyType::CellId => Err(InvalidRequest::CellId(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::ClaimKind;

    fn text(text: &str) -> Option<Scalar> {
        Some(Scalar::Text(text.to_owned()))
    }

    fn route() -> Option<Claim> {
        Claim::new(ClaimKind::Route, Scalar::Text("acme".to_owned())).ok()
    }

    fn read(fields: RequestFields) -> Result<ClassifyRequest, InvalidRequest> {
        fields.try_into()
    }

    #[test]
    fn a_request_has_a_type_or_claims() {
        assert_eq!(read(RequestFields::default()), Err(InvalidRequest::Unspecified));
        for kind in [ClassifyType::SessionPrefix, ClassifyType::CellId] {
            let no_value = RequestFields { kind: text(kind.as_str()), ..RequestFields::default() };
            assert_eq!(read(no_value.clone()), Err(InvalidRequest::NoValue(kind)));
            let both = RequestFields { claims: vec![route()], ..no_value };
            assert_eq!(read(both), Err(InvalidRequest::TypeAndClaims(kind)));
        }
    }

    #[test]
    fn an_empty_claim_is_rejected_by_its_position() {
        let claims = vec![route(), None];
        let error = read(RequestFields { claims, ..RequestFields::default() }).unwrap_err();
        assert_eq!(error.to_string(), "claims[1]: a claim without a field");
    }

    #[test]
    fn a_type_is_given_by_name_or_number() {
        for written in [text("FIRST_CELL"), Some(Scalar::Number(1))] {
            let fields = RequestFields { kind: written, ..RequestFields::default() };
            assert_eq!(read(fields).map(|request| request.by()), Ok("FIRST_CELL"));
        }
        for wrong in [text("first_cell"), text("FirstCell"), text(""), Some(Scalar::Number(4))] {
            let fields = RequestFields { kind: wrong, ..RequestFields::default() };
            assert!(matches!(read(fields), Err(InvalidRequest::Type(_))));
        }
    }

    fn target(written: Option<Scalar>) -> Result<Option<Target>, String> {
        let fields =
            RequestFields { kind: text("FIRST_CELL"), target: written, ..RequestFields::default() };
        read(fields).map(|request| request.target).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_is_given_in_any_of_its_spellings() {
        for web in [text("WEB"), text("web"), text("TARGET_TYPE_WEB"), Some(Scalar::Number(1))] {
            assert_eq!(target(web), Ok(Some(Target::Web)));
        }
        for registry in ["REGISTRY", "registry", "Registry", "TARGET_TYPE_REGISTRY"] {
            assert_eq!(target(text(registry)), Ok(Some(Target::Registry)), "{registry}");
        }
        for none in [None, text("TARGET_TYPE_UNSPECIFIED"), Some(Scalar::Number(0))] {
            assert_eq!(target(none), Ok(None));
        }
    }

    #[test]
    fn an_unknown_target_is_rejected_by_name() {
        let error = "invalid target: \"pages\", expected \"WEB\" or \"REGISTRY\"";
        assert_eq!(target(text("pages")), Err(error.to_owned()));
        for wrong in [text(""), text("TARGET_TYPE_TARGET_TYPE_WEB"), Some(Scalar::Number(3))] {
            assert!(target(wrong).is_err());
        }
    }
}
