//! What a request costs, in wasmtime's fuel: exact, and the same on every machine.

use e2e::host::FilterHost;
use e2e::replay::{case_files, play};

use super::client::{pull, routed};
use super::config::{host, shipped, start, two_rules};

/// A pull whose Cell is known.
const FUEL_OF_A_HIT: u64 = 40_000;

/// The dearest case of the shipped rulesets, everything known: a login with a dozen scopes.
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
fn a_hit_costs_hardly_more_however_much_is_cached() {
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
    // What is kept stands in trees, which are some levels deeper.
    assert!(many < one + one / 5, "{one} with one entry, {many} with 2001");
}

#[test]
fn every_case_stays_within_its_budget_once_its_answers_are_known() {
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
