//! Conversions between protobuf messages and the types of the directory. gRPC sends the messages as
//! they are, REST as JSON.

use crate::cell::{Cell, Label, SequenceRange as Range};
use crate::claim::{Claim, ClaimKind, Scalar};
use crate::directory::{Classified, Directory};
use crate::proto::types::v1::{self, claim};
use crate::proto::{
    CellInfo, ClassifyAction, ClassifyRequest as RequestMessage, ClassifyResponse, GetCellResponse,
    GetCellsResponse, ProxyInfo, SequenceRange,
};
use crate::request::{ClassifyRequest, InvalidRequest, RequestFields};

/// Checks a `ClassifyRequest`. In protobuf an absent field is zero or empty.
pub(crate) fn read_request(message: RequestMessage) -> Result<ClassifyRequest, InvalidRequest> {
    let claims: Result<Vec<_>, _> =
        message.claims.into_iter().map(|claim| claim.claim.map(read_claim).transpose()).collect();
    RequestFields {
        kind: Some(Scalar::Number(message.r#type.into())),
        value: message.value,
        claims: claims.map_err(|message| InvalidRequest::Unreadable(message.to_owned()))?,
        target: Some(Scalar::Number(message.target.into())),
    }
    .try_into()
}

macro_rules! claims {
    (text: $($text:ident)+; numbers: $($number:ident)+) => {
        fn read_claim(message: claim::Claim) -> Result<Claim, &'static str> {
            let (kind, value) = match message {
                $(claim::Claim::$text(text) => (ClaimKind::$text, Scalar::Text(text)),)+
                $(claim::Claim::$number(number) => (ClaimKind::$number, Scalar::Number(number)),)+
            };
            Claim::new(kind, value)
        }

        fn write_claim(claim: &Claim) -> v1::Claim {
            let text = || claim.value().to_string();
            let number = || claim.value().as_number().unwrap_or_default();
            let claim = match claim.kind() {
                $(ClaimKind::$text => claim::Claim::$text(text()),)+
                $(ClaimKind::$number => claim::Claim::$number(number()),)+
            };
            v1::Claim { claim: Some(claim) }
        }
    };
}

claims! {
    text: Route OrganizationPath RedirectRoute Username Email GpgKey SshKey ServiceDeskCustomEmail
        GpgKeyFingerprint SshKeyFingerprint PagesDomain PagesUniqueDomain;
    numbers: ProjectId NamespaceId UserId OrganizationId SnippetId
}

impl From<Classified<'_>> for ClassifyResponse {
    fn from(classified: Classified<'_>) -> Self {
        let Classified { cell, address, matched_claim } = classified;
        let proxy = ProxyInfo {
            address: address.as_str().to_owned(),
            registry_address: text(cell.registry_address.as_ref()),
        };
        Self {
            action: ClassifyAction::Proxy.into(),
            proxy: Some(proxy),
            matched_claim: matched_claim.map(write_claim),
        }
    }
}

impl From<&Directory> for GetCellsResponse {
    fn from(directory: &Directory) -> Self {
        Self { cells: directory.cells().map(CellInfo::from).collect() }
    }
}

impl From<&Cell> for GetCellResponse {
    fn from(cell: &Cell) -> Self {
        Self { cell_info: Some(cell.into()) }
    }
}

impl From<&Cell> for CellInfo {
    fn from(cell: &Cell) -> Self {
        let ranges = cell.sequence_ranges.iter().copied();
        Self {
            id: cell.id.number(),
            address: cell.address.as_str().to_owned(),
            session_prefix: text(cell.session_prefix.as_ref()),
            sequence_ranges: ranges.map(SequenceRange::from).collect(),
            registry_address: text(cell.registry_address.as_ref()),
        }
    }
}

impl From<Range> for SequenceRange {
    fn from(range: Range) -> Self {
        Self { minval: Some(range.minval()), maxval: Some(range.maxval()) }
    }
}

fn text(label: Option<&Label>) -> String {
    label.map(Label::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_claim_survives_the_round_trip() {
        for kind in ClaimKind::ALL {
            let number = Claim::new(kind, Scalar::Number(7));
            let claim = number.or_else(|_| Claim::new(kind, Scalar::Text("7".into()))).unwrap();
            let message = write_claim(&claim).claim.unwrap();
            assert_eq!(read_claim(message), Ok(claim));
        }
    }
}
