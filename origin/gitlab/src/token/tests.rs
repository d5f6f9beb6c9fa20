use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Test vectors, verified against GitLab's published examples.
fn vectors(kind: &str) -> Vec<Value> {
    let text = include_str!("../../tests/fixtures/routable-tokens.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[kind].as_array().unwrap().clone()
}

fn routing_of(fields: &Value) -> Routing {
    let mut routing = Routing::default();
    for (key, value) in fields.as_object().unwrap() {
        *routing.field(key).unwrap() = value.as_u64();
    }
    routing
}

#[test]
fn every_published_token_decodes_to_its_routing() {
    for vector in vectors("positive") {
        let token = vector["token"].as_str().unwrap();
        assert_eq!(decode(token), Ok(routing_of(&vector["routing_decimal"])), "{}", vector["name"]);
    }
}

#[test]
fn minting_produces_the_published_tokens() {
    for vector in vectors("positive") {
        let routing = routing_of(&vector["routing_decimal"]);
        let prefix = vector["prefix"].as_str().unwrap();
        let minted = RoutableToken::mint(prefix, [b'a'; 16], &routing).unwrap();
        assert_eq!(minted.as_str(), vector["token"].as_str().unwrap(), "{}", vector["name"]);
    }
}

#[test]
fn the_handbook_example_decodes() {
    for vector in vectors("official") {
        let routing = decode(vector["token"].as_str().unwrap()).unwrap();
        assert_eq!(routing, Routing { organization: Some(1), ..Routing::default() });
    }
}

#[test]
fn a_text_that_is_not_a_version_01_token_is_rejected() {
    for vector in vectors("negative") {
        assert!(decode(vector["token"].as_str().unwrap()).is_err(), "{}", vector["name"]);
    }
}

#[test]
fn the_error_names_the_invalid_part() {
    let good = "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l";
    let resigned = |signed: &str| format!("{signed}{}", checksum(signed));
    for (token, error) in [
        (good.replace(".01.", ".02."), TokenError::Version),
        (good.replace("08l", "080"), TokenError::Checksum),
        (good.replace(".01.", "-01-"), TokenError::Shape),
        (resigned(&format!("{}.01.0q", "a".repeat(30))), TokenError::Length),
        (resigned(&format!("{}.01.8x", "a".repeat(330))), TokenError::Length),
        (resigned(&format!("{}.01.0r", "a".repeat(27))), TokenError::Payload),
        (resigned(&format!("gl pat-{}.01.0r", "a".repeat(27))), TokenError::Shape),
        ("a".repeat(1 << 20) + ".01.0r0000000", TokenError::Length),
    ] {
        let end = token.get(token.len() - 30..).unwrap();
        assert_eq!(decode(&token), Err(error), "…{end}");
    }
}

#[test]
fn a_repeated_key_is_rejected_and_an_unknown_key_is_skipped() {
    assert_eq!(Routing::parse("c:2\nc:3"), None);
    assert_eq!(Routing::parse("c:2\nz:3").unwrap().cell, Some(2));
    assert_eq!(Routing::parse("c:2\n"), None);
    assert_eq!(Routing::parse("c:+2"), None);
}

#[test]
fn minting_requires_a_cell_or_an_organization_and_a_valid_prefix() {
    let user = Routing { user: Some(1), ..Routing::default() };
    assert_eq!(RoutableToken::mint("glpat-", [0; 16], &user), Err(TokenError::Unroutable));
    let cell = Routing { cell: Some(1), ..user };
    assert_eq!(RoutableToken::mint("a.b", [0; 16], &cell), Err(TokenError::Shape));
}

#[test]
fn debug_does_not_print_the_token() {
    let cell = Routing { cell: Some(1), ..Routing::default() };
    let token = RoutableToken::mint("glpat-", [b'a'; 16], &cell).unwrap();
    assert!(!format!("{token:?}").contains("glpat"));
}

fn routings() -> impl Strategy<Value = Routing> {
    (any::<u64>(), any::<[Option<u64>; 5]>()).prop_map(|(cell, rest)| {
        let [group, organization, project, runner_type, user] = rest;
        Routing { cell: Some(cell), group, organization, project, runner_type, user }
    })
}

proptest! {
    #[test]
    fn a_minted_token_decodes_to_its_routing(random: [u8; 16], routing in routings(), prefix in "[a-z]{0,10}-") {
        let token = RoutableToken::mint(&prefix, random, &routing).unwrap();
        prop_assert_eq!(decode(token.as_str()), Ok(routing));
    }

    #[test]
    fn no_text_causes_a_panic(text in "\\PC{0,80}", tail in "[a-z0-9.]{0,12}") {
        let _ = decode(&text);
        let _ = decode(&format!("{text}.01.{tail}"));
        let _ = Routing::from_payload(&text, &tail);
    }

    #[test]
    fn no_payload_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..230)) {
        let payload = URL_SAFE_NO_PAD.encode(bytes);
        let length = base36::encode(payload.len() as u64);
        let signed = format!("{payload}.01.{length:0>2}");
        let _ = decode(&format!("{signed}{}", checksum(&signed)));
    }
}
