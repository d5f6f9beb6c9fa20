//! Metrics and log lines.

use harness::replay::case_files;
use serde_json::{Value, json};
use wasm_host::abi::LogLevel;
use wasm_host::{FilterHost, LogLine};

use super::client::{get, only_call, pull, respond_found, respond_not_found, routed, with};
use super::config::{host, shipped, start, two_rules, with_retries};

fn counted(host: &FilterHost, name: &str) -> u64 {
    host.metric(&format!("cell_router.{name}")).unwrap_or_default()
}

fn requests(host: &FilterHost, rule: &str, source: &str) -> u64 {
    counted(host, &format!("requests_total.decision.classify.rule.{rule}.source.{source}"))
}

/// The filter's JSON log lines.
fn lines(host: &FilterHost) -> Vec<(LogLevel, Value)> {
    let json = |line: &LogLine| Some((line.level, serde_json::from_str(&line.message).ok()?));
    host.logs().iter().filter_map(json).collect()
}

#[test]
fn requests_are_counted_by_rule_and_source() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    routed(&mut host, pull("acme"), "cell-1");
    routed(&mut host, get("/"), "cell-1");
    assert_eq!(requests(&host, "namespace", "service"), 1);
    assert_eq!(requests(&host, "namespace", "cache"), 1);
    assert_eq!(requests(&host, "first-cell", "service"), 1);
    host.pass_time(61_000);
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(requests(&host, "namespace", "revalidating"), 1);
    host.run_for(20).unwrap();
    host.fail(only_call(&host).id).unwrap();
    host.on_request_headers(pull("acme")).unwrap();
    assert_eq!(requests(&host, "namespace", "stale"), 1);
    for (state, count) in [("miss", 2), ("fresh", 1), ("revalidating", 1), ("stale", 1)] {
        assert_eq!(counted(&host, &format!("cache_lookups_total.state.{state}")), count, "{state}");
    }
}

#[test]
fn dots_in_the_name_of_a_rule_do_not_end_its_label() {
    let mut configuration = two_rules();
    configuration["ruleset"]["rules"][0]["id"] = json!("by.name-space");
    let mut host = start(&configuration);
    routed(&mut host, pull("acme"), "cell-1");
    assert_eq!(requests(&host, "by_name-space", "service"), 1);
}

#[test]
fn calls_are_counted_by_outcome_and_measured() {
    let mut host = host();
    host.on_request_headers(pull("unclaimed")).unwrap();
    host.pass_time(7);
    respond_not_found(&mut host);
    respond_found(&mut host, "cell-1");
    for (name, outcome) in
        [("a", "transport"), ("b", "timeout"), ("c", "bad_status"), ("d", "garbage")]
    {
        host.on_request_headers(pull(name)).unwrap();
        let call = only_call(&host).id;
        match outcome {
            "transport" => host.fail(call),
            "timeout" => host.time_out(call),
            "bad_status" => host.respond(call, 500, [("x", "y")], ""),
            _ => host.respond(call, 200, [("x", "y")], "<html>"),
        }
        .unwrap();
        assert_eq!(counted(&host, &format!("classify_total.outcome.{outcome}")), 1, "{outcome}");
    }
    assert_eq!(counted(&host, "classify_total.outcome.not_found"), 1);
    assert_eq!(counted(&host, "classify_total.outcome.found"), 1);
    assert_eq!(host.samples("cell_router.classify_milliseconds").unwrap(), [7, 0, 0, 0, 0, 0]);
    assert_eq!(counted(&host, "refusals_total.reason.unavailable"), 4);
    host.remove_cluster("topology");
    host.on_request_headers(pull("e")).unwrap();
    assert_eq!(counted(&host, "classify_total.outcome.dispatch"), 1);
}

#[test]
fn retries_refreshes_and_configurations_are_counted() {
    let mut host = with_retries();
    host.on_request_headers(pull("acme")).unwrap();
    host.fail(only_call(&host).id).unwrap();
    host.run_for(100).unwrap();
    respond_found(&mut host, "cell-1");
    assert_eq!(counted(&host, "retries_total"), 1);
    host.pass_time(61_000);
    host.on_request_headers(pull("acme")).unwrap();
    host.run_for(20).unwrap();
    assert_eq!(counted(&host, "refreshes_total"), 1);
    assert_eq!(counted(&host, "configurations_total.verdict.accepted"), 1);
    host.reconfigure("{}").unwrap_err();
    assert_eq!(counted(&host, "configurations_total.verdict.refused"), 1);
}

#[test]
fn gauges_show_the_size_of_the_state() {
    let mut host = host();
    routed(&mut host, pull("acme"), "cell-1");
    routed(&mut host, pull("globex"), "cell-2");
    assert_eq!(counted(&host, "cache_entries"), 2);
    let memory = u64::try_from(host.memory_bytes()).unwrap();
    assert_eq!(counted(&host, "memory_bytes"), memory);
}

#[test]
fn no_metric_contains_text_from_a_client_or_tenant() {
    let mut host = host();
    for n in 0..100 {
        let odd = with(pull(&format!("tenant-{n}")), "user-agent", format!("tenant-{n}"));
        routed(&mut host, odd, &format!("cell-{n}"));
    }
    let names = host.metric_names();
    assert!(names.len() < 10, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("cell_router.")), "{names:?}");
    assert!(
        !names.iter().any(|name| name.contains("tenant") || name.contains("cell-")),
        "{names:?}"
    );
}

#[test]
fn every_refused_request_is_logged_once_with_its_reason() {
    let refused = |headers, fail: bool| {
        let mut host = host();
        host.on_request_headers(with(headers, "x-request-id", "id-1")).unwrap();
        if fail {
            host.fail(only_call(&host).id).unwrap();
        }
        let line = |(level, line): &(LogLevel, Value)| {
            assert_eq!(*level, LogLevel::Warn);
            line.clone()
        };
        let refused: Vec<_> = lines(&host).iter().map(line).collect();
        refused.into_iter().filter(|line| line["event"] == "refused").collect::<Vec<_>>()
    };
    let expected = json!([{
        "event": "refused", "reason": "unavailable", "status": 503, "rule": "namespace",
        "request_id": "id-1", "method": "GET", "host": "gitlab.example",
        "path": "/v2/acme/dependency_proxy/containers/alpine/manifests/3",
    }]);
    assert_eq!(json!(refused(pull("acme"), true)), expected);
    let expected = json!([{
        "event": "refused", "reason": "malformed_name", "status": 400, "request_id": "id-1",
        "method": "GET", "host": "gitlab.example", "path": "/v2/a//b",
    }]);
    assert_eq!(json!(refused(get("/v2/a//b?private_token=s3cr3t"), false)), expected);
}

#[test]
fn a_routed_request_is_not_logged() {
    for (ruleset, file) in &case_files().unwrap() {
        for case in file.cases.iter().filter(|case| case.expect.reply.is_none()) {
            let mut host = shipped(ruleset);
            harness::replay::play(&mut host, case, file.directory(case)).unwrap();
            let refused = |(_, line): &(LogLevel, Value)| line["event"] != "topology_service";
            assert!(!lines(&host).iter().any(refused), "{ruleset}: {}", case.name);
        }
    }
}

#[test]
fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
    let mut host = host();
    for n in 0..50 {
        host.on_request_headers(pull(&format!("group-{n}"))).unwrap();
        host.fail(only_call(&host).id).unwrap();
        host.pass_time(100);
    }
    routed(&mut host, pull("acme"), "cell-1");
    let news = lines(&host).into_iter().filter(|(_, line)| line["event"] == "topology_service");
    let news: Vec<_> = news.map(|(level, line)| (level, line["state"].clone())).collect();
    assert_eq!(
        news,
        [(LogLevel::Warn, json!("unavailable")), (LogLevel::Info, json!("available"))]
    );
}
