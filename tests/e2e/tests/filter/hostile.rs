//! Hostile tokens: bounded work, no trap, no wrong Cell, and no secret in any log.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::replay::case_files;
use wasm_host::{FilterHost, StreamState};

use super::client::{Headers, get, still_works, with};
use super::config::shipped;

const MEGABYTE: usize = 1024 * 1024;

/// The fuel that a request may use per byte, for copying it into the VM.
const FUEL_PER_BYTE: u64 = 20;

/// The fuel that it may use in addition, whatever its length: a text beyond 16 KiB is not parsed.
const FUEL_PER_REQUEST: u64 = 25_000_000;

fn base64(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

fn jwt(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = URL_SAFE_NO_PAD.encode(payload);
    format!("eyJhbGciOiJSUzI1NiJ9.{payload}.c2ln").into_bytes()
}

fn hostile_tokens() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("a megabyte of one letter", vec![b'A'; MEGABYTE]),
        ("a megabyte of dots", vec![b'.'; MEGABYTE]),
        ("a megabyte of dashes", vec![b'-'; MEGABYTE]),
        (
            "a long routable token",
            [&b"glpat-"[..], &vec![b'A'; MEGABYTE], b".01.zz0000000"].concat(),
        ),
        ("many routable tokens", b"glpat-AAAA.01.120000000".repeat(MEGABYTE / 23)),
        ("NUL bytes", b"glpat-\0\0\0\0.01.0\0".to_vec()),
        ("every byte", (0..=255).collect()),
        ("bad base64", b"glpat-!!!!.01.120000000".to_vec()),
        ("a JWT of deep JSON", jwt("[".repeat(100_000))),
        ("a JWT of deep objects", jwt(r#"{"a":"#.repeat(100_000))),
        ("a JWT of a megabyte", jwt(format!(r#"{{"cell_id":"{}"}}"#, "9".repeat(MEGABYTE)))),
        ("a JWT of many claims", jwt(format!("{{{}\"z\":1}}", r#""cell_id":1,"#.repeat(50_000)))),
        ("a JWT that is no UTF-8", jwt(b"{\"cell_id\":\"\xff\"}")),
        ("a job token of deep JSON", [b"glcbt-".to_vec(), jwt("[".repeat(100_000))].concat()),
        ("base64 in base64", base64(base64(base64("glpat-")))),
    ]
}

/// Every place where a client can put a token.
fn places(token: &[u8]) -> Vec<(&'static str, Headers)> {
    let login = || get("/jwt/auth?service=dependency_proxy");
    let join = |prefix: &str, token: &[u8]| [prefix.as_bytes(), token].concat();
    vec![
        ("Basic", with(login(), "authorization", join("Basic ", &base64(join("user:", token))))),
        ("raw Basic", with(login(), "authorization", join("Basic ", token))),
        ("Bearer", with(get("/v2/"), "authorization", join("Bearer ", token))),
        ("PRIVATE-TOKEN", with(get("/api/v4/projects"), "private-token", token)),
        ("JOB-TOKEN", with(get("/api/v4/job"), "job-token", token)),
        ("cookie", with(get("/"), "cookie", join("_gitlab_session=", token))),
        ("many cookies", with(get("/"), "cookie", join("a=b; ", token).repeat(4))),
    ]
}

/// Sends a request, responds to all its calls with "not found", and returns the fuel of its most
/// expensive step.
fn send(host: &mut FilterHost, headers: Headers) -> u64 {
    let stream = host.on_request_headers(headers).unwrap();
    let mut highest = host.fuel_of_last_call();
    while host.stream_state(stream).unwrap() == StreamState::Paused {
        for call in host.calls() {
            let headers = [("content-type", "application/json")];
            host.respond(call.id, 404, headers, super::client::NOT_FOUND).unwrap();
            highest = highest.max(host.fuel_of_last_call());
        }
    }
    highest
}

fn size(headers: &Headers) -> u64 {
    headers.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}

#[test]
fn hostile_tokens_cost_bounded_fuel_and_do_not_break_the_filter() {
    for (ruleset, _) in case_files().unwrap() {
        let mut host = shipped(&ruleset);
        for (kind, token) in hostile_tokens() {
            for (place, headers) in places(&token) {
                let bound = FUEL_PER_REQUEST + FUEL_PER_BYTE * size(&headers);
                let fuel = send(&mut host, headers);
                assert!(fuel < bound, "{ruleset}: {kind} as {place}: {fuel} > {bound}");
            }
            assert!(still_works(&mut host), "{ruleset}: {kind}");
        }
    }
}

#[test]
fn a_hostile_token_never_selects_a_cell() {
    let mut host = shipped("dependency_proxy");
    for (kind, token) in hostile_tokens() {
        for (place, headers) in places(&token) {
            let stream = host.on_request_headers(headers).unwrap();
            let by_cell = |body: &[u8]| String::from_utf8_lossy(body).contains("CELL_ID");
            let requested = host.calls();
            assert!(
                !requested.iter().any(|call| by_cell(&call.body)),
                "{kind} as {place}: {requested:?}"
            );
            for call in requested {
                host.fail(call.id).unwrap();
            }
            host.end_stream(stream).unwrap();
        }
    }
}

#[test]
fn no_secret_is_ever_logged() {
    const SECRET: &str = "s3cr3t-t0k3n";
    let mut host = shipped("dependency_proxy");
    let query = get(&format!("/api/v4/projects?private_token={SECRET}&job_token={SECRET}"));
    let mut requests = places(SECRET.as_bytes());
    requests.push(("query", query));
    requests.push(("two credentials", {
        let headers = with(get("/v2/"), "authorization", format!("Bearer {SECRET}"));
        with(headers, "authorization", format!("Basic {SECRET}"))
    }));
    for (_, headers) in requests {
        send(&mut host, headers.clone());
        let stream = host.on_request_headers(headers).unwrap();
        for call in host.calls() {
            host.fail(call.id).unwrap();
        }
        host.end_stream(stream).unwrap();
    }
    let encoded = STANDARD.encode(format!("user:{SECRET}"));
    for line in host.logs() {
        let leaks = line.message.contains(SECRET) || line.message.contains(&encoded);
        assert!(!leaks, "{}", line.message);
    }
}
