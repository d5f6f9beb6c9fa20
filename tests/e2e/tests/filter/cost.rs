//! The cost of a request in wasmtime's fuel: exact, and the same on every machine.

use harness::replay::{case_files, play};
use wasm_host::FilterHost;

use super::client::{pull, routed};
use super::config::{host, shipped, start, two_rules};

/// The budget of a pull whose Cell is cached.
const FUEL_OF_A_HIT: u64 = 40_000;

/// The budget of every case with all responses cached. The most expensive one is a login with a
/// dozen scopes.
const FUEL_OF_ANY_CASE: u64 = 400_000;

fn fuel(host: &mut FilterHost, namespace: &str) -> u64 {
    let stream = host.on_request_headers(pull(namespace)).unwrap();
    let fuel = host.fuel_of_last_call();
    host.end_stream(stream).unwrap();
    fuel
}

#[test]
fn a_cache_hit_stays_within_its_budget() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    let hit = fuel(&mut host, "acme");
    assert!(hit < FUEL_OF_A_HIT, "{hit}");
}

#[test]
fn the_cost_of_a_hit_hardly_grows_with_the_cache() {
    let mut configuration = two_rules();
    configuration["cache"]["maxEntries"] = 10_000.into();
    let mut host = start(&configuration);
    routed(&mut host, pull("acme"), "cell-1");
    let one = fuel(&mut host, "acme");
    for namespace in 0..2_000 {
        let stream = routed(&mut host, pull(&format!("namespace-{namespace}")), "cell-1");
        host.end_stream(stream).unwrap();
    }
    let many = fuel(&mut host, "acme");
    // The cache is a tree, which is some levels deeper with more entries.
    assert!(many < one + one / 5, "{one} with one entry, {many} with 2001");
}

#[test]
fn every_case_stays_within_its_budget_once_its_responses_are_cached() {
    for (ruleset, file) in &case_files().unwrap() {
        let mut host = shipped(ruleset);
        for case in &file.cases {
            play(&mut host, case, file.directory(case)).unwrap();
            let stream = host.on_request_headers(case.request.headers()).unwrap();
            let fuel = host.fuel_of_last_call();
            println!("{fuel:>8}  {ruleset}: {}", case.name);
            assert!(fuel < FUEL_OF_ANY_CASE, "{ruleset}: {}: {fuel}", case.name);
            for call in host.calls() {
                host.fail(call.id).unwrap();
            }
            host.end_stream(stream).unwrap();
        }
    }
}
