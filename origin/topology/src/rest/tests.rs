use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use tokio::sync::watch;

use super::*;
use crate::config::Config;
use crate::live::LiveConfig;
use crate::metrics::Metrics;

const CONFIG: &str = r#"
    env = "test"
    cache = { positive_ttl_seconds = 300, negative_ttl_seconds = 7 }
    [[cells]]
    id = 1
    address = "cell-1"
    registry_address = "registry-cell-1"
    sequence_ranges = [{ minval = 1, maxval = 9007199254740993 }]
    [[cells]]
    id = 2
    address = "cell-2"
    session_prefix = "cell-2"
    [[claims]]
    cell = 1
    route = "acme"
    [[claims]]
    cell = 2
    redirect_route = "acme"
    organization_id = 1001
"#;

fn live(config: &str) -> (watch::Sender<ConfigState>, LiveConfig) {
    watch::channel(ConfigState::first(Config::from_toml(config).unwrap()))
}

struct JsonResponse {
    status: StatusCode,
    cache_control: Option<String>,
    body: Value,
}

async fn response_to(live: &LiveConfig, request: Request<Body>) -> JsonResponse {
    let metrics = Metrics::new(&live.borrow());
    let service = Service::new(live.clone(), metrics.into());
    let response = routes(service).oneshot(request).await.unwrap();
    let status = response.status();
    let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header(CONTENT_TYPE).as_deref(), Some("application/json"));
    let cache_control = header(CACHE_CONTROL);
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    JsonResponse { status, cache_control, body: serde_json::from_slice(&bytes).unwrap() }
}

async fn send(method: &str, path: &str, body: impl Into<Body>) -> JsonResponse {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    response_to(&live(CONFIG).1, request).await
}

async fn classify(body: impl Into<Body>) -> JsonResponse {
    send("POST", "/v1/classify", body).await
}

#[tokio::test]
async fn a_classified_request_gets_both_addresses_of_its_cell() {
    let response = classify(r#"{"type":"CELL_ID","value":"1"}"#).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(
        response.body,
        json!({"action": "PROXY",
               "proxy": {"address": "cell-1", "registryAddress": "registry-cell-1"}})
    );
}

#[tokio::test]
async fn a_cell_without_a_registry_has_no_registry_address() {
    let response = classify(r#"{"type":"SESSION_PREFIX","value":"cell-2"}"#).await;
    assert_eq!(response.body, json!({"action": "PROXY", "proxy": {"address": "cell-2"}}));
}

/// The bodies are those the filter sends with `registryDesign: request`.
#[tokio::test]
async fn a_target_selects_the_address_in_the_response() {
    for (body, address) in [
        (r#"{"type":"FIRST_CELL","target":"REGISTRY"}"#, "registry-cell-1"),
        (r#"{"type":"FIRST_CELL","target":"WEB"}"#, "cell-1"),
        (r#"{"type":"CELL_ID","value":"1","target":"REGISTRY"}"#, "registry-cell-1"),
        (
            r#"{"claims":[{"route":"acme"},{"redirectRoute":"acme"}],"target":"REGISTRY"}"#,
            "registry-cell-1",
        ),
        (r#"{"claims":[{"redirectRoute":"acme"}],"target":"WEB"}"#, "cell-2"),
    ] {
        let response = classify(body).await;
        assert_eq!(response.body["proxy"]["address"], address, "{body}");
    }
}

#[tokio::test]
async fn the_registry_of_a_cell_without_one_is_not_found() {
    let response = classify(r#"{"claims":[{"redirectRoute":"acme"}],"target":"REGISTRY"}"#).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(
        response.body,
        json!({"code": 5, "message": "cell 2 has no registry", "details": []})
    );
    assert_eq!(response.cache_control.as_deref(), Some("max-age=7"));
}

#[tokio::test]
async fn claims_are_tried_in_order_and_the_matched_one_is_returned() {
    let response = classify(r#"{"claims":[{"route":"unclaimed"},{"redirectRoute":"Acme"}]}"#).await;
    assert_eq!(
        response.body,
        json!({"action": "PROXY", "proxy": {"address": "cell-2"},
               "matchedClaim": {"redirectRoute": "Acme"}})
    );
}

#[tokio::test]
async fn names_are_accepted_in_both_spellings_and_numbers_as_text_too() {
    for claim in [
        r#"{"organizationId":"1001"}"#,
        r#"{"organizationId":1001}"#,
        r#"{"organization_id":1001,"route":null}"#,
    ] {
        let response = classify(format!(r#"{{"claims":[{claim}]}}"#)).await;
        assert_eq!(response.body["matchedClaim"], json!({"organizationId": "1001"}), "{claim}");
    }
    for kind in [r#""FIRST_CELL""#, "1"] {
        let response = classify(format!(r#"{{"type":{kind},"value":null,"claims":[]}}"#)).await;
        assert_eq!(response.body["proxy"]["address"], "cell-1", "{kind}");
    }
}

#[tokio::test]
async fn not_found_is_a_404_with_code_5() {
    let response = classify(r#"{"type":"SESSION_PREFIX","value":"junk_value"}"#).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(
        response.body,
        json!({"code": 5, "message": "cell not found: \"junk_value\"", "details": []})
    );
}

#[tokio::test]
async fn responses_say_how_long_clients_may_cache_them() {
    let found = classify(r#"{"type":"FIRST_CELL"}"#).await;
    assert_eq!(found.cache_control.as_deref(), Some("max-age=300"));
    let not_found = classify(r#"{"claims":[{"route":"unclaimed"}]}"#).await;
    assert_eq!(not_found.cache_control.as_deref(), Some("max-age=7"));
    let invalid = classify("{}").await;
    assert_eq!(invalid.cache_control.as_deref(), Some("no-store"));
}

#[tokio::test]
async fn an_invalid_request_is_a_400_with_code_3() {
    for body in [
        "",
        "[]",
        "{}",
        "{",
        "\u{feff}{}",
        r#"{"type":"UNSPECIFIED"}"#,
        r#"{"type":0}"#,
        r#"{"type":4,"value":"x"}"#,
        r#"{"type":"SessionPrefix","value":"cell-2"}"#,
        r#"{"type":"CELL_ID","value":2}"#,
        r#"{"type":"CELL_ID","value":"z"}"#,
        r#"{"type":"CELL_ID","value":"2","value":"1"}"#,
        r#"{"type":"CELL_ID","value":"2","claims":[{"route":"acme"}]}"#,
        r#"{"typ":"CELL_ID"}"#,
        r#"{"type":"FIRST_CELL","target":"PAGES"}"#,
        r#"{"type":"FIRST_CELL","target":3}"#,
        r#"{"type":"FIRST_CELL","target":["WEB"]}"#,
        r#"{"claim":{"route":"acme"}}"#,
        r#"{"claims":{"route":"acme"}}"#,
        r#"{"claims":[null]}"#,
        r#"{"claims":[{}]}"#,
        r#"{"claims":[{"rute":"acme"}]}"#,
        r#"{"claims":[{"route":7}]}"#,
        r#"{"claims":[{"route":"acme","redirectRoute":"acme"}]}"#,
        r#"{"claims":[{"organizationId":"9223372036854775808"}]}"#,
        r#"{"claims":[{"organizationId":1.5}]}"#,
    ] {
        let response = classify(body).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(response.body["code"], 3, "{body}");
        assert_eq!(response.body["details"], json!([]), "{body}");
    }
}

#[tokio::test]
async fn an_unspecified_type_is_rejected_with_gitlabs_message() {
    assert_eq!(classify("{}").await.body["message"], "invalid type: \"UNSPECIFIED\"");
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected() {
    let response = classify(" ".repeat(1024 * 1024)).await;
    assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.body["code"], 3);
}

#[tokio::test]
async fn deep_nesting_is_rejected_without_a_crash() {
    let response = classify(format!("{{\"claims\":{}", "[".repeat(60_000))).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_rejected() {
    let response = classify(b"{\"type\":\"FIRST_CELL\",\"value\":\"\xff\xfe\"}".to_vec()).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(response.body["code"], 3);
}

#[tokio::test]
async fn an_error_quotes_only_the_beginning_of_a_long_request() {
    let long = "x".repeat(60_000);
    for body in [
        format!(r#"{{"type":"SESSION_PREFIX","value":"{long}"}}"#),
        format!(r#"{{"type":"{long}"}}"#),
        format!(r#"{{"claims":[{{"{long}":1}}]}}"#),
        format!(r#"{{"{long}":1}}"#),
    ] {
        let response = classify(body).await;
        assert!(response.status.is_client_error());
        assert!(response.body["message"].as_str().unwrap().chars().count() <= 300);
    }
}

#[tokio::test]
async fn cells_are_listed_in_order_with_64_bit_numbers_as_text() {
    let response = send("GET", "/v1/cells", "").await;
    assert_eq!(response.cache_control.as_deref(), Some("max-age=300"));
    assert_eq!(
        response.body,
        json!({"cells": [
            {"id": "1", "address": "cell-1", "registryAddress": "registry-cell-1",
             "sequenceRanges": [{"minval": "1", "maxval": "9007199254740993"}]},
            {"id": "2", "address": "cell-2", "sessionPrefix": "cell-2"},
        ]})
    );
}

#[tokio::test]
async fn health_probes_report_what_is_served() {
    for path in ["/health/live", "/health/ready"] {
        let response = send("GET", path, "").await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.cache_control.as_deref(), Some("no-store"));
        assert_eq!(
            response.body,
            json!({"status": "SERVING", "env": "test", "cells": 2, "generation": 1})
        );
    }
}

#[tokio::test]
async fn health_probes_report_a_rejected_file_and_the_service_stays_ready() {
    let (publish, live) = live(CONFIG);
    publish.send_modify(|state| state.refuse("topology.toml:3: no"));
    let response =
        response_to(&live, Request::get("/health/ready").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.body["refused"], "topology.toml:3: no");
    assert_eq!(response.body["generation"], 1);
}

#[tokio::test]
async fn an_unknown_route_is_never_mistaken_for_an_unknown_cell() {
    for (method, path, status) in
        [("POST", "/v2/classify", 404), ("GET", "/v1/classify", 405), ("POST", "/v1/cells", 405)]
    {
        let response = send(method, path, "").await;
        assert_eq!(response.status.as_u16(), status, "{method} {path}");
        assert_eq!(response.body["code"], 12, "{method} {path}");
        assert_eq!(response.cache_control.as_deref(), Some("no-store"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_new_configuration_applies_from_the_next_request() {
    let (publish, live) = live(CONFIG);
    let unclaimed = || {
        let body = r#"{"claims":[{"route":"initech"}]}"#;
        Request::post("/v1/classify").body(Body::from(body)).unwrap()
    };
    assert_eq!(response_to(&live, unclaimed()).await.status, StatusCode::NOT_FOUND);
    let grown = format!("{CONFIG}\n[[claims]]\ncell = 2\nroute = \"initech\"");
    publish.send_modify(|state| state.replace(Config::from_toml(&grown).unwrap()));
    assert_eq!(response_to(&live, unclaimed()).await.status, StatusCode::OK);
}
