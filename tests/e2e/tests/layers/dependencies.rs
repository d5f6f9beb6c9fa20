//! What each crate depends on.

use std::collections::BTreeSet;
use std::process::Command;

use harness::program;

/// Returns the names of all crates that a package of this workspace is compiled with.
fn compiled_with(package: &str, features: &[&str]) -> BTreeSet<String> {
    let features = features.join(",");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{lib}", "--package", package, "--features", &features])
        .current_dir(program::workspace())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree --package {package}: {errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

fn assert_without(package: &str, features: &[&str], forbidden: &[&str]) {
    let compiled = compiled_with(package, features);
    assert!(compiled.len() > 1 || package == "gitlab", "{package}: {compiled:?}");
    for name in forbidden {
        assert!(!compiled.contains(*name), "{package} is compiled with {name}");
    }
}

#[test]
fn the_pure_crates_are_compiled_without_a_runtime_a_database_or_a_server() {
    for package in ["router", "oci", "gitlab"] {
        assert_without(package, &[], &["tokio", "sqlx", "axum", "hyper", "reqwest"]);
    }
}

#[test]
fn the_ruleset_command_is_compiled_without_the_origin_and_its_libraries() {
    assert_without("router", &["cli"], &["tokio", "sqlx", "axum", "wasmtime", "origin"]);
}

#[test]
fn the_origin_does_not_depend_on_the_router() {
    assert_without("origin", &[], &["router", "proxy_wasm"]);
}

#[test]
fn the_demo_is_compiled_without_the_origin_library_and_wasmtime() {
    assert_without("demo", &[], &["origin", "sqlx", "axum", "wasmtime"]);
}
