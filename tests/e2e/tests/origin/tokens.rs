//! Tokens for the Cell's container registry: their grants and their form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::cell::Cell;
use harness::client::Login;
use harness::process::free_port;
use origin::access::{Role, Visibility};
use origin::admin;
use origin::auth::AccessEntry;
use serde_json::{Value, json};

/// A token of Cell 2, from the published examples of routable tokens.
const FOREIGN: &str = "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l";

/// A Cell with an unused upstream, a private group and a public group.
async fn cell() -> Cell {
    let upstream = format!("http://127.0.0.1:{}", free_port().unwrap());
    let cell = Cell::start(&upstream).await.unwrap();
    for (group, visibility) in [
        ("acme", Visibility::Private),
        ("acme/oss", Visibility::Public),
        ("globex", Visibility::Private),
    ] {
        admin::create_group(cell.db(), &group.parse().unwrap(), visibility).await.unwrap();
    }
    cell
}

async fn request_token(cell: &Cell, query: &str, login: Option<&Login>) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/jwt/auth?{query}", cell.url()));
    let request = match login {
        Some(login) => request.basic_auth(&login.username, Some(&login.password)),
        None => request,
    };
    request.send().await.unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The grants of a token request for the registry, as `name:actions`.
async fn granted(cell: &Cell, scopes: &[&str], login: Option<&Login>) -> Vec<String> {
    let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
    let response = request_token(cell, &format!("service=container_registry{scopes}"), login).await;
    assert_eq!(response.status(), 200);
    let response: Value = response.json().await.unwrap();
    let mut claims = part(response.get("token").unwrap().as_str().unwrap(), 1);
    let entries = claims.get_mut("access").unwrap().take();
    let entries: Vec<AccessEntry> = serde_json::from_value(entries).unwrap();
    entries.iter().map(|entry| format!("{}:{}", entry.name, entry.actions.join(","))).collect()
}

#[tokio::test]
async fn a_registry_token_holds_all_claims_that_registry_and_edge_read() {
    let cell = cell().await;
    let login = cell.member_with("initech", Role::Developer).await.unwrap();
    let query = "service=container_registry&scope=repository:initech/app:push,pull,delete";
    let response: Value = request_token(&cell, query, Some(&login)).await.json().await.unwrap();
    assert_eq!(response["token"], response["access_token"]);
    assert_eq!(response["expires_in"], 900);
    assert!(response["issued_at"].as_str().unwrap().ends_with('Z'));

    let token = response["token"].as_str().unwrap();
    let claims = part(token, 1);
    for (name, expected) in [
        ("iss", json!("cell-1")),
        ("aud", json!("container_registry")),
        ("sub", json!(login.username)),
        ("cell_id", json!(1)),
        ("organization_id", json!(1)),
        (
            "access",
            json!([{
                "type": "repository", "name": "initech/app", "actions": ["push", "pull"],
                "meta": {"organization_id": 1},
            }]),
        ),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    let time = |name: &str| claims[name].as_u64().unwrap();
    assert!(!claims["jti"].as_str().unwrap().is_empty());
    assert!(time("nbf") <= time("iat") && time("iat") + 900 == time("exp"));

    let keys = reqwest::get(format!("{}/oauth/discovery/keys", cell.url())).await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    assert_eq!(part(token, 0)["kid"], keys["keys"][0]["kid"]);
}

#[tokio::test]
async fn the_id_of_the_key_is_the_fingerprint_that_registries_look_up() {
    let cell = cell().await;
    let keys = reqwest::get(format!("{}/oauth/discovery/keys", cell.url())).await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    let key = &keys["keys"][0];
    // The SubjectPublicKeyInfo of a P-256 key (RFC 5480) ends with the point.
    let head = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    let point = ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap());
    let spki = [STANDARD.decode(head).unwrap(), point.concat()].concat();
    let hash = oci::Digest::of(&spki).hex().to_owned();
    let letters = key["kid"].as_str().unwrap().replace(':', "");
    let bits = letters.bytes().fold(String::new(), |bits, letter| {
        let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
        format!("{bits}{value:05b}")
    });
    let expected: String =
        hash.chars().take(60).map(|digit| format!("{:04b}", digit.to_digit(16).unwrap())).collect();
    assert_eq!(bits, expected);
}

#[tokio::test]
async fn each_role_is_granted_its_actions_and_no_others() {
    let cell = cell().await;
    let all = ["repository:initech/app:pull,push,delete,*", "registry:catalog:*"];
    for (role, expected) in [
        (Role::Guest, None),
        (Role::Reporter, Some("initech/app:pull")),
        (Role::Developer, Some("initech/app:pull,push")),
        (Role::Maintainer, Some("initech/app:pull,push,delete,*")),
    ] {
        let login = cell.member_with("initech", role).await.unwrap();
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(granted(&cell, &all, Some(&login)).await, expected, "{role:?}");
    }
}

#[tokio::test]
async fn of_several_repositories_only_accessible_ones_are_granted() {
    let cell = cell().await;
    let login = cell.member_with("acme", Role::Developer).await.unwrap();
    let scopes = [
        "repository:acme/app:pull,push",
        "repository:globex/app:pull",
        "repository:nobody/app:pull",
        "repository:Acme/App:pull",
        "repository:acme/../globex/app:pull",
    ];
    assert_eq!(granted(&cell, &scopes, Some(&login)).await, ["acme/app:pull,push"]);
    assert!(granted(&cell, &[], Some(&login)).await.is_empty(), "docker login requests no scope");
}

#[tokio::test]
async fn public_groups_are_granted_to_anonymous_clients_and_to_tokens_of_another_cell() {
    let cell = cell().await;
    let stranger = cell.member_with("globex", Role::Owner).await.unwrap();
    let foreign = Login { username: "hank".into(), password: FOREIGN.into() };
    let scopes = ["repository:acme/oss/app:pull,push", "repository:acme/app:pull"];
    for login in [None, Some(&stranger), Some(&foreign)] {
        assert_eq!(granted(&cell, &scopes, login).await, ["acme/oss/app:pull"], "{login:?}");
    }
}

#[tokio::test]
async fn a_bad_token_request_is_refused_in_json() {
    let cell = cell().await;
    let wrong = Login { username: "ann".into(), password: "hunter2".into() };
    let foreign = Login { username: "hank".into(), password: FOREIGN.into() };
    let many = "&scope=repository:acme/app:pull".repeat(101);
    let scope = "scope=repository:acme/oss/app:pull";
    for (query, login, status, code) in [
        (format!("service=container_registry&{scope}"), Some(&wrong), 401, "UNAUTHORIZED"),
        (format!("service=dependency_proxy&{scope}"), None, 401, "UNAUTHORIZED"),
        (format!("service=dependency_proxy&{scope}"), Some(&foreign), 403, "DENIED"),
        (format!("service=teapot&{scope}"), None, 404, "UNSUPPORTED"),
        ("service=container_registry&service=dependency_proxy".into(), None, 400, "UNSUPPORTED"),
        (format!("service=container_registry{many}"), None, 400, "UNSUPPORTED"),
    ] {
        let response = request_token(&cell, &query, login).await;
        assert_eq!(response.status(), status, "{query}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], code, "{query}");
    }
}
