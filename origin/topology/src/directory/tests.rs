use super::*;
use crate::claim::{ClaimKind, Scalar};
use crate::config::Config;
use crate::request::{ClassifyType, InvalidRequest, RequestFields};

const TWO_CELLS: &str = r#"
    env = "test"
    [[cells]]
    id = 1
    address = "cell-1"
    registry_address = "registry-1"
    [[cells]]
    id = 36
    address = "cell-36"
    session_prefix = "cell-36"
    [[claims]]
    cell = 1
    route = "acme"
    [[claims]]
    cell = 36
    route = "Globex"
    redirect_route = "acme"
    organization_id = 1001
"#;

fn directory() -> Directory {
    Config::from_toml(TWO_CELLS).unwrap().directory
}

fn fields(kind: ClassifyType, value: &str) -> RequestFields {
    let kind = Some(Scalar::Text(kind.as_str().to_owned()));
    RequestFields { kind, value: value.to_owned(), ..RequestFields::default() }
}

fn by(kind: ClassifyType, value: &str) -> ClassifyRequest {
    fields(kind, value).try_into().unwrap()
}

fn claim(kind: ClaimKind, value: &str) -> Claim {
    Claim::new(kind, Scalar::Text(value.to_owned())).unwrap()
}

fn by_claims(claims: &[(ClaimKind, &str)]) -> ClassifyRequest {
    let claims = claims.iter().map(|(kind, value)| Some(claim(*kind, value))).collect();
    RequestFields { claims, ..RequestFields::default() }.try_into().unwrap()
}

fn address(request: &ClassifyRequest) -> Option<String> {
    let directory = directory();
    directory.classify(request).ok().map(|found| found.cell.address.as_str().to_owned())
}

#[test]
fn the_first_cell_of_the_file_is_the_first_cell() {
    assert_eq!(address(&by(ClassifyType::FirstCell, "")).as_deref(), Some("cell-1"));
}

#[test]
fn a_cell_id_is_decimal() {
    assert_eq!(address(&by(ClassifyType::CellId, "36")).as_deref(), Some("cell-36"));
    assert_eq!(address(&by(ClassifyType::CellId, "10")), None);
    let base36 = ClassifyRequest::try_from(fields(ClassifyType::CellId, "z"));
    assert_eq!(base36, Err(InvalidRequest::CellId("z".to_owned())));
}

#[test]
fn a_cell_id_of_any_length_is_not_found_rather_than_an_error() {
    assert_eq!(address(&by(ClassifyType::CellId, &"9".repeat(10_000))), None);
}

#[test]
fn a_session_prefix_is_compared_exactly() {
    assert_eq!(address(&by(ClassifyType::SessionPrefix, "cell-36")).as_deref(), Some("cell-36"));
    for other in ["CELL-36", "cell-3", "cell-36-", "cell\u{0}", "é"] {
        assert_eq!(address(&by(ClassifyType::SessionPrefix, other)), None, "{other:?}");
    }
}

#[test]
fn the_first_owned_claim_decides_and_is_returned_as_the_request_spelled_it() {
    let request = by_claims(&[(ClaimKind::Route, "unclaimed"), (ClaimKind::Route, "GLOBEX")]);
    let directory = directory();
    let found = directory.classify(&request).unwrap();
    assert_eq!(found.cell.address.as_str(), "cell-36");
    assert_eq!(found.matched_claim, Some(&claim(ClaimKind::Route, "GLOBEX")));
}

#[test]
fn a_claim_of_another_kind_does_not_match() {
    assert_eq!(address(&by_claims(&[(ClaimKind::Route, "acme")])).as_deref(), Some("cell-1"));
    let redirect = by_claims(&[(ClaimKind::RedirectRoute, "acme")]);
    assert_eq!(address(&redirect).as_deref(), Some("cell-36"));
    assert_eq!(address(&by_claims(&[(ClaimKind::OrganizationPath, "acme")])), None);
    let number = by_claims(&[(ClaimKind::OrganizationId, "1001")]);
    assert_eq!(address(&number).as_deref(), Some("cell-36"));
}

#[test]
fn a_path_below_the_top_level_has_no_owner() {
    assert_eq!(address(&by_claims(&[(ClaimKind::Route, "acme/team")])), None);
}

fn registry_of(mut request: ClassifyRequest) -> Result<String, NotFound> {
    request.target = Some(Target::Registry);
    directory().classify(&request).map(|found| found.address.as_str().to_owned())
}

#[test]
fn the_registry_of_a_cell_is_found_by_every_kind_of_request() {
    for request in [
        by(ClassifyType::FirstCell, ""),
        by(ClassifyType::CellId, "1"),
        by_claims(&[(ClaimKind::Route, "acme")]),
    ] {
        assert_eq!(registry_of(request).as_deref(), Ok("registry-1"));
    }
}

#[test]
fn a_claim_of_a_cell_without_a_registry_decides_and_is_not_found() {
    let chain = by_claims(&[(ClaimKind::Route, "globex"), (ClaimKind::Route, "acme")]);
    let error = registry_of(chain).unwrap_err();
    assert_eq!(error.to_string(), "cell 36 has no registry");
}

#[test]
fn the_default_target_is_the_web_address() {
    let mut request = by(ClassifyType::FirstCell, "");
    for target in [None, Some(Target::Web)] {
        request.target = target;
        assert_eq!(directory().classify(&request).unwrap().address.as_str(), "cell-1");
    }
}
