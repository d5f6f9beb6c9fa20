//! Hostile input: the shipped rulesets route or reject every request without a panic, without an
//! endless walk, within the limit of calls, and never to a Cell that the request does not name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use router::cases::{self, Directory, FinalStep};
use router::{Headers, Millis, Router};
use serde_json::json;

const MEGABYTE: usize = 1 << 20;

/// The number of queries of one entry: the default of `maxNamespaces`.
const MAX_QUERIES: usize = 10;

/// The length of a query in bytes: two claims of GitLab's longest path.
const MAX_QUERY_LENGTH: usize = 700;

fn router(ruleset: &str) -> Router {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets").join(ruleset);
    let ruleset = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    Router::from_json(cases::filter_config(&ruleset).to_string().as_bytes()).unwrap()
}

fn routers() -> [Router; 3] {
    ["dependency_proxy.json", "session_token.json", "container_registry.json"].map(router)
}

/// Returns the deciding rule, or `None` if the edge rejects the request, and the queries made.
fn walk(router: &Router, headers: &Headers) -> (Option<String>, Vec<String>) {
    let known = json!({"firstCell": "cell-1", "registries": {"cell-1": "registry-cell-1"}});
    let directory: Directory = serde_json::from_value(known).unwrap();
    let mut queries = Vec::new();
    let end = cases::drive(router, headers, Millis(0), |body| {
        queries.push(String::from_utf8(body.to_vec()).unwrap());
        directory.respond(body)
    });
    let longest = queries.iter().map(String::len).max().unwrap_or_default();
    assert!(longest <= MAX_QUERY_LENGTH, "a query of {longest} bytes");
    match end {
        FinalStep::Decision(decision) => (Some(decision.rule), queries),
        FinalStep::Reply(_) => (None, queries),
    }
}

fn request(path: &[u8], name: &str, value: &[u8]) -> Headers {
    [(":method", &b"GET"[..]), (":authority", b"a"), (":path", path), (name, value)]
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .into()
}

fn basic(password: impl AsRef<[u8]>) -> String {
    format!("Basic {}", STANDARD.encode([b"u:", password.as_ref()].concat()))
}

fn jwt(payload: impl AsRef<[u8]>) -> String {
    format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload))
}

/// Asserts that a request names no Cell: only the first Cell is classified.
fn assert_names_no_cell(path: &str, name: &str, value: &[u8]) {
    for router in routers() {
        let (rule, queries) = walk(&router, &request(path.as_bytes(), name, value));
        let start: String = String::from_utf8_lossy(value).chars().take(40).collect();
        assert_eq!(rule.as_deref(), Some("first_cell"), "{path} {name}: {start}…");
        assert_eq!(queries, [r#"{"type":"FIRST_CELL"}"#], "{path} {name}: {start}…");
    }
}

#[test]
fn an_oversized_token_names_no_cell() {
    let megabyte = "a".repeat(MEGABYTE);
    let routable = format!("glpat-{megabyte}.01.0r0000000");
    for (path, name, value) in [
        ("/jwt/auth", "authorization", basic(&megabyte)),
        ("/jwt/auth", "authorization", basic(&routable)),
        ("/jwt/auth", "authorization", basic(format!("glcbt-h.{megabyte}.s"))),
        ("/jwt/auth", "authorization", basic("\0".repeat(MEGABYTE))),
        ("/jwt/auth", "authorization", format!("Basic {megabyte}")),
        ("/v2/", "authorization", format!("Bearer h.{megabyte}.s")),
        ("/v2/", "authorization", format!("Bearer {megabyte}")),
        ("/v2/", "authorization", format!("Bearer {routable}")),
        ("/", "private-token", routable.clone()),
        ("/", "job-token", format!("glcbt-h.{megabyte}.s")),
        ("/", "runner-token", routable),
        ("/", "cookie", format!("_gitlab_session=cell-2-{megabyte}")),
        ("/", "cookie", format!("_gitlab_session=cell-{}-0", "2".repeat(MEGABYTE))),
        ("/", "cookie", "a=b;".repeat(MEGABYTE / 4)),
        ("/", "cookie", "_gitlab_session=;".repeat(MEGABYTE / 16)),
    ] {
        assert_names_no_cell(path, name, value.as_bytes());
    }
    assert_names_no_cell(&format!("/?private_token={megabyte}"), "accept", b"*/*");
    assert_names_no_cell(
        &format!("/?{}", "private_token=a&".repeat(MEGABYTE / 16)),
        "accept",
        b"*/*",
    );
}

#[test]
fn a_malformed_token_names_no_cell() {
    let deep = |json: &str, depth| format!("{json}{}", "[".repeat(depth));
    for payload in [
        deep(r#"{"cell_id":"#, 10_000),
        deep(r#"{"c":"2","x":"#, 10_000),
        r#"{"cell_id":[[[[]]]]}"#.to_owned(),
        r#"{"cell_id":{"cell_id":2}}"#.to_owned(),
        r#"{"cell_id":"2\u0000"}"#.to_owned(),
        r#"{"cell_id":"abc","organization_id":"x","c":"A"}"#.to_owned(),
        r#"{"cell_id":-2,"organization_id":1.5,"c":2}"#.to_owned(),
        r#"{"cell_id":99999999999999999999,"c":"zzzzzzzzzzzzzzzz"}"#.to_owned(),
        r#"{"cell_id":null,"access":{"meta":[]}}"#.to_owned(),
        r#"{"cell_id":2}{"#.to_owned(),
        r#"[{"cell_id":2}]"#.to_owned(),
        "\0".to_owned(),
        String::new(),
    ] {
        assert_names_no_cell(
            "/v2/",
            "authorization",
            format!("Bearer {}", jwt(&payload)).as_bytes(),
        );
        assert_names_no_cell("/", "job-token", format!("glcbt-{}", jwt(&payload)).as_bytes());
        let password = basic(format!("glcbt-{}", jwt(&payload)));
        assert_names_no_cell("/jwt/auth", "authorization", password.as_bytes());
    }
    let token = "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l";
    for broken in [
        format!("{token}\0"),
        format!("\0{token}"),
        token.replace("YWFh", "YW\0h"),
        token.replace("YWFh", "YW=h"),
        token.replace("YWFh", "YW/h"),
        token.replace(".01.", ".001."),
        token.replace(".01.14", ".01.zz"),
        format!("{token} "),
    ] {
        assert_names_no_cell("/jwt/auth", "authorization", basic(&broken).as_bytes());
    }
    for header in [&b"\xff\xfe"[..], b"Basic \xff\xfe", b"Bearer \xff.\xfe.\0", b"", b"Basic dTp="]
    {
        assert_names_no_cell("/jwt/auth", "authorization", header);
    }
}

#[test]
fn an_overlong_list_is_rejected_without_a_call() {
    let access: Vec<_> = (1..2_000).map(|id| json!({"meta": {"organization_id": id}})).collect();
    let claims = json!({"access": access}).to_string();
    let short = json!({"access": access.split_at(200).0}).to_string();
    let scopes: String = (0..10_000).map(|n| format!("&scope=repository:g{n}/x:pull")).collect();
    let joined: Vec<_> = (0..10_000).map(|n| format!("repository:g{n}/x:pull")).collect();
    let joined = format!("&scope={}", joined.join("+"));
    let registry = router("container_registry.json");
    let bearer = |payload: &str| {
        request(b"/v2/", "authorization", format!("Bearer {}", jwt(payload)).as_bytes())
    };
    assert_eq!(walk(&registry, &bearer(&short)), (None, Vec::new()));
    // A token over the size limit is not decoded.
    assert_eq!(walk(&registry, &bearer(&claims)).0.as_deref(), Some("first_cell"));
    for scopes in [scopes, joined] {
        let path = format!("/jwt/auth?service=container_registry{scopes}");
        let headers = request(path.as_bytes(), "accept", b"*/*");
        assert_eq!(walk(&router("dependency_proxy.json"), &headers), (None, Vec::new()));
    }
}

/// Asserts that the number of queries of a request is within the limit of all rules and entries.
fn assert_bounded(router: &Router, headers: &Headers) {
    let (_, queries) = walk(router, headers);
    let most = MAX_QUERIES * 2 * router.ruleset().ids().count();
    assert!(queries.len() <= most, "{} queries", queries.len());
}

#[test]
fn any_path_is_routed_or_rejected() {
    let routers = routers();
    proptest!(|(path: Vec<u8>, tail in "[ -~]{0,60}")| {
        for router in &routers {
            assert_bounded(router, &request(&path, "accept", b""));
            for start in [
                "/", "/v2/", "/v2/a/dependency_proxy/containers/", "/jwt/auth?scope=",
                "/gitlab/v1/repositories/", "/?private_token=",
            ] {
                assert_bounded(router, &request(format!("{start}{tail}").as_bytes(), "accept", b""));
            }
        }
    });
}

#[test]
fn any_credential_is_routed_or_rejected() {
    let routers = routers();
    proptest!(|(bytes: Vec<u8>)| {
        let authorization = [basic(&bytes).into_bytes(), [b"Bearer ", &*jwt(&bytes).into_bytes()].concat(), bytes.clone()];
        for router in &routers {
            for value in &authorization {
                assert_bounded(router, &request(b"/jwt/auth", "authorization", value));
                assert_bounded(router, &request(b"/v2/", "authorization", value));
            }
            for name in ["private-token", "job-token", "runner-token", "cookie"] {
                assert_bounded(router, &request(b"/", name, &bytes));
            }
        }
    });
}

/// JSON of any shape, with the keys that rules read.
fn any_claims() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(|s| json!(s)),
        Just(json!(null)),
        Just(json!("10")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof![
            Just("cell_id"),
            Just("organization_id"),
            Just("access"),
            Just("meta"),
            Just("c"),
            Just("personal_access_token"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(|items| json!(items)),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

#[test]
fn any_claims_are_handled_within_the_limits() {
    let routers = routers();
    proptest!(|(claims in any_claims())| {
        let token = jwt(claims.to_string());
        for router in &routers {
            let bearer = format!("Bearer {token}");
            assert_bounded(router, &request(b"/v2/", "authorization", bearer.as_bytes()));
            assert_bounded(router, &request(b"/", "job-token", format!("glcbt-{token}").as_bytes()));
        }
    });
}
