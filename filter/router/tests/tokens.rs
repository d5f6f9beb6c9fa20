//! Routable tokens through the shipped rulesets, in every place where a client may send one: published
//! tokens and malformed ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use router::cases::{self, Directory, FinalStep};
use router::{Millis, Router};
use serde_json::{Value, json};

const RULESETS: [&str; 2] = ["dependency_proxy.json", "session_token.json"];

fn vectors(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!(
        "../../../origin/gitlab/tests/fixtures/routable-tokens.json"
    ))
    .unwrap();
    all.get(kind).unwrap().as_array().unwrap().clone()
}

fn router(ruleset: &str) -> Router {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets").join(ruleset);
    let ruleset = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    Router::from_json(cases::filter_config(&ruleset).to_string().as_bytes()).unwrap()
}

/// All Cells that the vectors name, and cell 10, whose id is the base36 form of 36.
fn directory() -> Directory {
    let cells: Value = [1, 2, 3, 10, 36]
        .map(|id| (id.to_string(), json!(format!("cell-{id}"))))
        .into_iter()
        .collect();
    serde_json::from_value(json!({"firstCell": "cell-1", "cells": cells})).unwrap()
}

/// Returns the path and the header of every way to send a token.
fn carriers(token: &str) -> Vec<(String, &'static str, String)> {
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{token}")));
    let path = "/api/v4/projects/1";
    vec![
        (path.to_owned(), "private-token", token.to_owned()),
        (path.to_owned(), "job-token", token.to_owned()),
        (path.to_owned(), "runner-token", token.to_owned()),
        (path.to_owned(), "authorization", format!("Bearer {token}")),
        (path.to_owned(), "authorization", basic("oauth2")),
        ("/jwt/auth?service=container_registry".to_owned(), "authorization", basic("jo")),
        (format!("{path}?private_token={token}"), "accept", "*/*".to_owned()),
        (format!("{path}?access_token={token}"), "accept", "*/*".to_owned()),
    ]
}

/// Returns the Cell and the deciding rule.
fn routed(router: &Router, path: &str, name: &str, value: &str) -> (String, String) {
    let headers = [(":method", "GET"), (":authority", "a"), (":path", path), (name, value)]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into();
    let directory = directory();
    match cases::drive(router, &headers, Millis(0), |body| directory.respond(body)) {
        FinalStep::Decision(decision) => (decision.cluster, decision.rule),
        FinalStep::Reply(reply) => panic!("{path}: {reply:?}"),
    }
}

#[test]
fn a_published_token_is_routed_to_its_cell_or_the_first() {
    for ruleset in RULESETS {
        let router = router(ruleset);
        for vector in vectors("positive") {
            let token = vector["token"].as_str().unwrap();
            let cell = vector["routing_decimal"].get("c").and_then(Value::as_u64);
            for (path, name, value) in carriers(token) {
                let (cluster, rule) = routed(&router, &path, name, &value);
                let seen = (cluster.as_str(), rule == "first_cell");
                let expected = format!("cell-{}", cell.unwrap_or(1));
                assert_eq!(seen, (&*expected, cell.is_none()), "{ruleset} {path} {name} {rule}");
            }
        }
    }
}

#[test]
fn a_malformed_token_is_routed_to_the_first_cell() {
    let vectors = vectors("negative").into_iter().chain(vectors("official"));
    let tokens: Vec<_> =
        vectors.map(|vector| vector["token"].as_str().unwrap().to_owned()).collect();
    for ruleset in RULESETS {
        let router = router(ruleset);
        for token in &tokens {
            for (path, name, value) in carriers(token) {
                let (_, rule) = routed(&router, &path, name, &value);
                assert_eq!(rule, "first_cell", "{ruleset} {path} {name}");
            }
        }
    }
}
