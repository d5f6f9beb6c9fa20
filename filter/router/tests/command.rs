//! The `ruleset` command, tested through its output.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "glpat-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l";

/// Returns the exit status, stdout and stderr.
fn ruleset(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ruleset"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the command in the folder of the shipped rulesets and returns its output.
fn shipped(arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets");
    let (status, out, err) = ruleset(&folder, arguments);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    out
}

fn folder_of(files: &[(&str, Value)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, json) in files {
        fs::write(folder.path().join(name), json.to_string()).unwrap();
    }
    folder
}

fn first_cell() -> Value {
    json!({"id": "first_cell", "action": "classify", "classify": {"type": "FIRST_CELL"}})
}

fn cases(cell: &str) -> Value {
    json!({"topology": {"firstCell": "cell-1"}, "cases": [{
        "name": "everything goes to the first Cell", "request": {"path": "/"},
        "expect": {"rule": "first_cell", "cell": cell, "calls": [{"type": "FIRST_CELL"}]},
    }]})
}

/// Asserts that `text` contains these lines, in this order.
fn assert_lines(text: &str, lines: &[&str]) {
    let mut rest = text.lines().map(str::trim);
    for line in lines {
        assert!(rest.any(|it| it == *line), "missing or misplaced line {line:?} in\n{text}");
    }
}

#[test]
fn check_reports_errors_by_file_rule_and_field() {
    let folder = folder_of(&[
        ("bad.json", json!({"rules": [{"id": "a", "action": "redirect"}]})),
        ("good.json", json!({"rules": [first_cell()]})),
        ("good.cases.json", cases("cell-1")),
        ("worse.json", json!({"rules": 7})),
    ]);
    let (status, out, err) = ruleset(folder.path(), &["check", "."]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert!(
        out.contains("./bad.json: error: rule `a`, action: unknown variant `redirect`"),
        "{out}"
    );
    assert!(out.contains("./worse.json: error: rules: invalid type"), "{out}");
    assert_lines(&out, &["./good.json: configuration OK (1 rules)"]);
}

#[test]
fn warnings_fail_only_with_deny_warnings() {
    let folder = folder_of(&[("a.json", json!({"rules": [first_cell()]}))]);
    let (status, out, _) = ruleset(folder.path(), &["check", "a.json"]);
    assert_eq!(status, 0);
    assert_lines(&out, &["a.json: warning: no cases: a.cases.json does not exist"]);
    assert_eq!(ruleset(folder.path(), &["check", "--deny-warnings", "a.json"]).0, 1);
}

#[test]
fn check_reports_missing_malformed_and_ambiguous_files() {
    let folder = folder_of(&[]);
    fs::write(folder.path().join("a.json"), "{").unwrap();
    fs::write(folder.path().join("c.json"), r#"{"rules": [{"match": {"type": 1, "type": 2}}]}"#)
        .unwrap();
    let (status, out, _) = ruleset(folder.path(), &["check", "a.json", "b.json", "c.json"]);
    assert_eq!(status, 1);
    assert!(out.contains("a.json: error: .: EOF while parsing"), "{out}");
    assert!(out.contains("b.json: error: No such file"), "{out}");
    assert!(out.contains("c.json: error: rules[0].match: duplicate key `type`"), "{out}");
}

#[test]
fn check_explains_common_mistakes() {
    let rule = json!({"rules": [{"id": "a", "classify": {"type": "FIRST_CELL"}}]}).to_string();
    for (text, expected) in [
        ("\n", "a.json: error: the file is empty\n"),
        (
            "\u{feff}{}",
            "a.json: error: the file starts with a byte order mark; save it as UTF-8 without one\n",
        ),
        ("[]", "a.json: error: expected an object with the list as `rules`, not a list\n"),
        (
            r#"{"ruleset": []}"#,
            "a.json: error: expected an object with the list as `rules`, not a list\n",
        ),
        (&rule, "a.json: error: rule `a`, action: missing field `action`\n"),
    ] {
        let folder = folder_of(&[]);
        fs::write(folder.path().join("a.json"), text).unwrap();
        assert_eq!(ruleset(folder.path(), &["check", "a.json"]).1, expected);
    }
}

#[test]
fn test_reports_the_fields_that_differ() {
    let ruleset_file = json!({"rules": [first_cell()]});
    let folder = folder_of(&[("a.json", ruleset_file), ("a.cases.json", cases("cell-2"))]);
    let (status, out, _) = ruleset(folder.path(), &["test", "a.json"]);
    assert_eq!(status, 1);
    assert_lines(
        &out,
        &[
            "a.json: failed: everything goes to the first Cell",
            "cell: expected \"cell-2\"",
            "cell:   actual \"cell-1\"",
            "1 cases, 1 failed",
        ],
    );
    fs::write(folder.path().join("other.json"), cases("cell-1").to_string()).unwrap();
    let (status, out, _) = ruleset(folder.path(), &["test", "a.json", "--cases", "other.json"]);
    assert_eq!((status, out.as_str()), (0, "1 cases, 0 failed\n"));
}

#[test]
fn the_shipped_rulesets_have_no_warnings_and_no_failed_cases() {
    let out = shipped(&["check", "--deny-warnings", "."]);
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(shipped(&["test", "."]).ends_with(" cases, 0 failed\n"));
}

#[test]
fn explain_shows_variables_calls_and_the_decision() {
    let out = shipped(&["explain", "container_registry.json", "/v2/initech/app/manifests/1.0"]);
    assert_lines(
        &out,
        &[
            "GET gitlab.example/v2/initech/app/manifests/1.0",
            "1  registry_repository: matches",
            "${namespace} = initech",
            r#"classify {"claims":[{"route":"initech"},{"redirectRoute":"initech"}]}"#,
            "-> cell-2, registry registry-cell-2, matched by redirectRoute",
            "=> registry-cell-2 (registry), by rule `registry_repository`",
            "x-cell-cluster: registry-cell-2",
            "x-gitlab-http-router-rule-type: redirectRoute",
        ],
    );
}

#[test]
fn explain_shows_why_a_rule_does_not_match_and_what_was_not_found() {
    let broken = TOKEN.replace("08l", "080");
    let url =
        "https://web.example/jwt/auth?service=dependency_proxy&scope=repository:unknown/x:pull";
    let out = shipped(&["explain", "dependency_proxy.json", "-u", &format!("jo:{broken}"), url]);
    assert_lines(
        &out,
        &[
            "3  jwt_auth_cell_query: does not match",
            "match[1]: no parameter `cell_id` matches `(?<cell>[0-9]{1,19})`",
            "5  jwt_auth_scopes: matches",
            "-> not found in dependency_proxy.cases.json",
            "${decoded.c} = (does not exist)",
            "transform[1]: not a routable token: the checksum does not match",
            "validate.exist[0]: `${decoded.c}` does not exist",
            "=> cell-1 (web), by rule `first_cell`",
        ],
    );
}

#[test]
fn explain_shows_a_rewritten_path_and_a_rejection() {
    let out = shipped(&["explain", "dependency_proxy.json", "/c/2/jwt/auth?service=x"]);
    assert_lines(
        &out,
        &["=> cell-2 (web), by rule `jwt_auth_cell_path`", "path rewritten to /jwt/auth"],
    );
    let scopes = "scope=repository:acme/a:pull&scope=repository:globex/b:pull";
    let url = format!("/jwt/auth?service=container_registry&{scopes}");
    let out = shipped(&["explain", "dependency_proxy.json", &url]);
    let rejection = "=> 400 several_cells, rejected at the edge, by rule `jwt_auth_scopes`";
    assert_lines(&out, &[rejection]);
    assert!(out.contains(r#"{"errors":[{"code":"UNSUPPORTED""#), "{out}");
}

#[test]
fn explain_shows_that_a_reserved_word_is_not_classified() {
    let url = "/v2/api/dependency_proxy/containers/alpine/manifests/3";
    let out = shipped(&["explain", "dependency_proxy.json", url]);
    let idle = "no call: the value is missing, reserved, or classified before";
    assert_lines(
        &out,
        &["1  dependency_proxy: matches", idle, "=> cell-1 (web), by rule `first_cell`"],
    );
}

#[test]
fn explain_takes_the_options_of_curl() {
    let cookie = "theme=dark; _gitlab_session=cell-2-0123abcd";
    for (arguments, decision) in [
        (&["-b", cookie, "/"][..], "=> cell-2 (web), by rule `session_prefix`"),
        (
            &["-X", "POST", "-H", &format!("PRIVATE-TOKEN: {TOKEN}"), "/api/v4/projects"],
            "=> cell-2 (web), by rule `session_token_header_private_token`",
        ),
        (&["-I", "https://a.example"], "=> cell-1 (web), by rule `first_cell`"),
    ] {
        let arguments = [&["explain", "session_token.json"], arguments].concat();
        assert_lines(&shipped(&arguments), &[decision]);
    }
    let out = shipped(&["explain", "session_token.json", "-I", "-H", "Host: b", "https://a/x#y"]);
    assert!(out.starts_with("HEAD b/x\n"), "{out}");
}

#[test]
fn secrets_are_hidden_without_show_secrets() {
    let basic = STANDARD.encode(format!("jo:{TOKEN}"));
    let jwt = "e30.eyJwZXJzb25hbF9hY2Nlc3NfdG9rZW4iOiJnbHBhdC1BQUFBIn0.s";
    for (arguments, secrets) in [
        (vec!["-u".to_owned(), format!("jo:{TOKEN}"), "/jwt/auth".to_owned()], [TOKEN, &basic]),
        (vec![format!("/api?private_token={TOKEN}")], [TOKEN, TOKEN]),
        (vec![format!("/v2/{TOKEN}/dependency_proxy/containers/a/manifests/1")], [TOKEN, TOKEN]),
        (
            vec!["-H".to_owned(), format!("Authorization: Bearer {jwt}"), "/v2/".to_owned()],
            [jwt, "glpat-AAAA"],
        ),
    ] {
        let run = |options: &[&str]| {
            let arguments = arguments.iter().map(String::as_str);
            let all = ["explain", "dependency_proxy.json"].into_iter();
            shipped(&all.chain(options.iter().copied()).chain(arguments).collect::<Vec<_>>())
        };
        for secret in secrets {
            assert!(!run(&[]).contains(secret), "{}", run(&[]));
            assert!(!run(&["--json"]).contains(secret), "{}", run(&["--json"]));
            assert!(run(&["--show-secrets"]).contains(secret), "{}", run(&["--show-secrets"]));
        }
    }
}

#[test]
fn user_info_in_the_url_is_sent_as_basic_and_hidden() {
    let url = format!("http://jo:{}@h/jwt/auth?service=x", TOKEN.replace('-', "%2D"));
    let by_option = shipped(&[
        "explain",
        "dependency_proxy.json",
        "-u",
        &format!("jo:{TOKEN}"),
        "http://h/jwt/auth?service=x",
    ]);
    let by_url = shipped(&["explain", "dependency_proxy.json", &url]);
    assert_eq!(by_url, by_option);
    assert!(by_url.starts_with("GET h/jwt/auth?service=x\n"), "{by_url}");
}

#[test]
fn explain_prints_json() {
    let url = "/v2/acme/app/manifests/1.0";
    let out = shipped(&["explain", "--json", "container_registry.json", url]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["rules"][0]["rule"], "registry_repository");
    assert_eq!(json["outcome"]["outcome"], "decision");
    assert_eq!(json["outcome"]["headers"]["x-cell-cluster"], "registry-cell-1");
}

#[test]
fn a_filter_configuration_and_a_separate_directory_are_accepted() {
    let config = json!({
        "topologyService": {"cluster": "t", "authority": "t", "registryDesign": "request"},
        "ruleset": {"rules": [first_cell()]},
    });
    let folder =
        folder_of(&[("filter.json", config), ("cells.json", json!({"firstCell": "cell-9"}))]);
    let (status, out, _) =
        ruleset(folder.path(), &["explain", "filter.json", "--cells", "cells.json", "/"]);
    assert_eq!(status, 0);
    assert!(out.contains(r#""target":"WEB""#), "{out}");
    assert_lines(&out, &["-> cell-9"]);
    let (status, _, err) = ruleset(folder.path(), &["explain", "filter.json", "/"]);
    assert_eq!(status, 1);
    assert!(err.contains("--cells FILE: filter.cases.json: No such file"), "{err}");
}

#[test]
fn a_proxy_rule_may_rely_on_the_filters_proxy_address() {
    let rules = json!({"rules": [{"id": "legacy", "action": "proxy"}]});
    let folder = folder_of(&[("a.json", rules), ("cells.json", json!({}))]);
    assert_eq!(ruleset(folder.path(), &["check", "a.json"]).0, 0);
    let (_, out, _) = ruleset(folder.path(), &["explain", "a.json", "--cells", "cells.json", "/"]);
    assert_lines(&out, &["1  legacy: matches", "=> proxy-address, by rule `legacy`"]);
}

#[test]
fn invalid_usage_has_its_own_status_and_shows_no_secret() {
    let folder = folder_of(&[]);
    let (status, _, err) = ruleset(folder.path(), &["explain", "a.json"]);
    assert_eq!(status, 2);
    assert!(err.contains("<URL>"), "{err}");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets");
    let url = "gitlab.example/?private_token=s3cr3t";
    let (status, _, err) = ruleset(&shipped, &["explain", "session_token.json", url]);
    assert_eq!(status, 1);
    assert!(err.contains("expected https://HOST/PATH") && !err.contains("s3cr3t"), "{err}");
}

/// A template of a filter configuration whose rules are `rules.json`.
fn template() -> String {
    let configuration =
        r#"{"topologyService": {"cluster": "t", "authority": "t"}, "ruleset": ${rules.json}}"#;
    format!(
        "resources:\n- typed_config:\n    config:\n      configuration:\n        value: |\n          {configuration}\n"
    )
}

#[test]
fn install_renders_checks_and_moves_the_shipped_templates_by_default() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = TempDir::new().unwrap();
    let target = target.path().to_str().unwrap();
    let (status, out, err) = ruleset(&workspace, &["install", target]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, format!("{target}/filter-web.yaml\n{target}/filter-registry.yaml\n"));
    let mut files: Vec<_> =
        fs::read_dir(target).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["filter-registry.yaml", "filter-web.yaml"]);
    let text = fs::read_to_string(format!("{target}/filter-web.yaml")).unwrap();
    assert!(text.contains("\"first_cell\"") && !text.contains("${rulesets"), "{text}");
}

#[test]
fn install_moves_nothing_if_one_configuration_is_invalid() {
    let folder = folder_of(&[("rules.json", json!({"rules": [first_cell()]}))]);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("envoy")).unwrap();
    write("good.yaml", &template());
    write("bad.yaml", &template().replace("rules.json", "bad.json"));
    write("bad.json", r#"{"rules": [{"id": "a", "action": "redirect"}]}"#);
    write("envoy/good.yaml", "old");
    let install = |templates: &[&str]| {
        let (status, out, err) =
            ruleset(folder.path(), &[&["install", "envoy"], templates].concat());
        assert_eq!((status, out.as_str()), (1, ""));
        err
    };
    let err = install(&["good.yaml", "bad.yaml"]);
    assert!(err.starts_with("bad.yaml: the filter rejects the configuration: "), "{err}");
    assert!(err.contains("rule `a`, action: unknown variant `redirect`"), "{err}");
    let err = install(&["good.yaml", "missing.yaml"]);
    assert!(err.starts_with("missing.yaml: No such file"), "{err}");
    write("bad.yaml", &template().replace("rules.json", "none.json"));
    let err = install(&["good.yaml", "bad.yaml"]);
    assert!(err.starts_with("bad.yaml: none.json: No such file"), "{err}");
    let err = install(&["good.yaml", "./good.yaml"]);
    assert_eq!(err, "two templates have the same file name\n");
    assert_eq!(fs::read_to_string(folder.path().join("envoy/good.yaml")).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path().join("envoy")).unwrap().count(), 1);
}

#[test]
fn install_requires_an_existing_folder() {
    let folder = folder_of(&[]);
    let (status, _, err) = ruleset(folder.path(), &["install", "missing"]);
    assert_eq!((status, err.as_str()), (1, "missing: not a folder\n"));
}

#[test]
fn the_schemas_are_printed() {
    for arguments in [&["schema"][..], &["schema", "--cases"]] {
        let schema: Value = serde_json::from_str(&shipped(arguments)).unwrap();
        assert_eq!(schema["type"], "object");
    }
}
