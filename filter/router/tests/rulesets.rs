//! The shipped rulesets against their cases, which specify them by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use router::cases::{self, CaseFile, Expect};
use router::{Millis, Router};
use serde_json::{Value, json};

fn rulesets() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".json") && !name.ends_with(".cases.json") && !name.ends_with("schema.json")
    });
    files.sort();
    assert!(!files.is_empty(), "no rulesets");
    files
}

fn router(ruleset: &Path) -> Router {
    let ruleset = serde_json::from_slice(&fs::read(ruleset).unwrap()).unwrap();
    Router::from_json(cases::filter_config(&ruleset).to_string().as_bytes()).unwrap()
}

fn case_file(ruleset: &Path) -> CaseFile {
    let path = ruleset.with_extension("cases.json");
    let json = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    CaseFile::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_case_has_the_expected_result() {
    let mut failures = Vec::new();
    for ruleset in rulesets() {
        let file = case_file(&ruleset);
        for case in &file.cases {
            let seen =
                cases::run(&router(&ruleset), &case.request, file.directory(case), Millis(0));
            if let Err(difference) = case.expect.check(&seen) {
                failures.push(format!("{}: {}\n{difference}", ruleset.display(), case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_repeated_request_is_served_from_the_cache() {
    for ruleset in rulesets() {
        let file = case_file(&ruleset);
        for case in file.cases.iter().filter(|case| file.directory(case).fails.is_empty()) {
            let router = router(&ruleset);
            let run = || cases::run(&router, &case.request, file.directory(case), Millis(0));
            let (first, second) = (run(), run());
            assert_eq!(second, Expect { calls: Vec::new(), ..first }, "{}", case.name);
        }
    }
}

/// Removes the target from a query.
fn take_target(query: &mut Value) -> Option<Value> {
    query.as_object_mut().unwrap().remove("target")
}

#[test]
fn every_case_has_the_same_result_in_the_request_design() {
    for ruleset in rulesets() {
        let file = case_file(&ruleset);
        let is_registry = ruleset.ends_with("container_registry.json");
        let target = json!(if is_registry { "REGISTRY" } else { "WEB" });
        let mut config =
            cases::filter_config(&serde_json::from_slice(&fs::read(&ruleset).unwrap()).unwrap());
        config
            .pointer_mut("/topologyService")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert("registryDesign".to_owned(), json!("request"));
        for case in &file.cases {
            let router = Router::from_json(config.to_string().as_bytes()).unwrap();
            let mut seen = cases::run(&router, &case.request, file.directory(case), Millis(0));
            for call in &mut seen.calls {
                assert_eq!(take_target(call).as_ref(), Some(&target), "{}", case.name);
            }
            case.expect.check(&seen).unwrap_or_else(|wrong| panic!("{}: {wrong}", case.name));
        }
    }
}

#[test]
fn every_rule_has_a_case() {
    for ruleset in rulesets() {
        let file = case_file(&ruleset);
        let shown: BTreeSet<_> =
            file.cases.iter().filter_map(|case| case.expect.rule.as_deref()).collect();
        let router = router(&ruleset);
        let missing: Vec<_> = router.ruleset().ids().filter(|id| !shown.contains(id)).collect();
        assert!(missing.is_empty(), "{}: no case for {missing:?}", ruleset.display());
    }
}

#[test]
fn the_web_rulesets_share_their_rules_for_tokens_and_sessions() {
    let rules = |name: &str| -> Vec<Value> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets");
        let ruleset: Value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        let id = |rule: &Value| rule["id"].as_str().unwrap().to_owned();
        let shared = |rule: &&Value| id(rule).starts_with("session_");
        ruleset["rules"].as_array().unwrap().iter().filter(shared).cloned().collect()
    };
    assert_eq!(rules("dependency_proxy.json"), rules("session_token.json"));
}

#[test]
fn case_names_are_unique() {
    for ruleset in rulesets() {
        let file = case_file(&ruleset);
        let names: BTreeSet<_> = file.cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), file.cases.len(), "{}", ruleset.display());
    }
}
