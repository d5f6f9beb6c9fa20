use super::*;
use crate::claim::{ClaimKind, Scalar};
use crate::config::Config;

const TWO_CELLS: &str = r#"
    env = "test"
    [[cells]]
    id = 1
    address = "cell-1"
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

fn by(kind: ClassifyType, value: &str) -> ClassifyRequest {
    ClassifyRequest::new(Some(kind), value.to_owned(), Vec::new()).unwrap()
}

fn claim(kind: ClaimKind, value: &str) -> Claim {
    Claim::new(kind, Scalar::Text(value.to_owned())).unwrap()
}

fn by_claims(claims: &[(ClaimKind, &str)]) -> ClassifyRequest {
    let claims = claims.iter().map(|(kind, value)| claim(*kind, value)).collect();
    ClassifyRequest::new(None, String::new(), claims).unwrap()
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
    let base36 = ClassifyRequest::new(Some(ClassifyType::CellId), "z".to_owned(), Vec::new());
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
fn the_first_claim_that_is_owned_decides_and_is_named_as_it_was_asked() {
    let request = by_claims(&[(ClaimKind::Route, "nobody"), (ClaimKind::Route, "GLOBEX")]);
    let directory = directory();
    let found = directory.classify(&request).unwrap();
    assert_eq!(found.cell.address.as_str(), "cell-36");
    assert_eq!(found.matched_claim, Some(&claim(ClaimKind::Route, "GLOBEX")));
}

#[test]
fn kinds_of_claim_do_not_answer_for_each_other() {
    assert_eq!(address(&by_claims(&[(ClaimKind::Route, "acme")])).as_deref(), Some("cell-1"));
    let redirect = by_claims(&[(ClaimKind::RedirectRoute, "acme")]);
    assert_eq!(address(&redirect).as_deref(), Some("cell-36"));
    assert_eq!(address(&by_claims(&[(ClaimKind::OrganizationPath, "acme")])), None);
    let number = by_claims(&[(ClaimKind::OrganizationId, "1001")]);
    assert_eq!(address(&number).as_deref(), Some("cell-36"));
}

#[test]
fn a_path_below_the_top_level_is_nobodys() {
    assert_eq!(address(&by_claims(&[(ClaimKind::Route, "acme/team")])), None);
}

#[test]
fn a_question_goes_by_type_or_by_claims() {
    let route = || vec![claim(ClaimKind::Route, "acme")];
    let new = ClassifyRequest::new;
    assert_eq!(new(None, String::new(), Vec::new()), Err(InvalidRequest::Unspecified));
    for kind in [ClassifyType::SessionPrefix, ClassifyType::CellId] {
        let no_value = new(Some(kind), String::new(), Vec::new());
        assert_eq!(no_value, Err(InvalidRequest::NoValue(kind)));
        let both = new(Some(kind), "1".to_owned(), route());
        assert_eq!(both, Err(InvalidRequest::TypeAndClaims(kind)));
    }
}
