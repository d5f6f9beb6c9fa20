//! Every case of every shipped ruleset, through the compiled filter.

use std::path::{Path, PathBuf};

use e2e::host::{FilterHost, Outcome, StreamId};
use router::cases::{Case, CaseFile, Directory, Expect, ExpectReply};
use router::{CallError, CallResult};

use super::config;

/// The name of a ruleset and its cases.
pub(crate) fn case_files() -> Vec<(String, CaseFile)> {
    let entries = std::fs::read_dir(config::rulesets()).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().filter_map(|file| Some((name_of(file)?, load(file)))).collect()
}

fn name_of(file: &Path) -> Option<String> {
    Some(file.file_name()?.to_str()?.strip_suffix(".cases.json")?.to_owned())
}

fn load(file: &Path) -> CaseFile {
    let json = std::fs::read(file).unwrap();
    CaseFile::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Sends a case's request and answers its calls, each round in turn.
pub(crate) fn play(
    host: &mut FilterHost,
    case: &Case,
    directory: &Directory,
) -> (StreamId, Expect) {
    let stream = host.on_request_headers(case.request.headers()).unwrap();
    let mut calls = Vec::new();
    while host.outcome(stream).unwrap() == Outcome::Pause {
        let open = host.calls();
        assert!(!open.is_empty(), "{}: waits for nothing", case.name);
        for call in open {
            calls.push(serde_json::from_slice(&call.body).unwrap());
            give(host, call.id, directory.answer(&call.body));
        }
    }
    (stream, Expect { calls, ..seen(host, case, stream) })
}

fn give(host: &mut FilterHost, call: e2e::host::CallId, answer: CallResult) {
    let given = match answer {
        Ok(answer) => {
            let headers = answer.cache_control.iter().map(|value| ("cache-control", value));
            host.answer(call, answer.status, headers, &answer.body)
        }
        Err(CallError::Timeout) => host.time_out(call),
        Err(_) => host.fail(call),
    };
    given.unwrap();
}

fn seen(host: &mut FilterHost, case: &Case, stream: StreamId) -> Expect {
    if let Some(reply) = host.local_reply(stream) {
        let reply = ExpectReply::of(u16::try_from(reply.status).unwrap(), &reply.body);
        return Expect { reply: Some(reply), ..Expect::default() };
    }
    host.on_response_headers(stream, [(":status", "200")]).unwrap();
    let rule = host.response_headers(stream).unwrap().text("x-cell-rule");
    let path = host.header(stream, ":path").map(|path| without_query(&path));
    let asked = without_query(&case.request.path);
    Expect {
        rule,
        cell: host.header(stream, "x-cell-cluster"),
        r#type: host.header(stream, "x-gitlab-http-router-rule-type"),
        hash_key: host.header(stream, "x-cell-hash-key"),
        rewrite_path: path.filter(|path| *path != asked),
        ..Expect::default()
    }
}

fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// From outside, a path rewritten to itself is not rewritten.
fn visible(expect: &Expect, case: &Case) -> Expect {
    let same = without_query(&case.request.path);
    let rewrite_path = expect.rewrite_path.clone().filter(|path| *path != same);
    Expect { rewrite_path, ..expect.clone() }
}

#[test]
fn every_case_of_every_ruleset_has_the_outcome_the_router_promises() {
    let files = case_files();
    assert!(!files.is_empty(), "no cases in {}", config::rulesets().display());
    let mut wrong = Vec::new();
    for (ruleset, file) in &files {
        for case in &file.cases {
            let mut host = config::shipped(ruleset);
            let (_, seen) = play(&mut host, case, file.directory(case));
            if let Err(difference) = visible(&case.expect, case).check(&seen) {
                wrong.push(format!("{ruleset}: {}: {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_case_seen_again_has_the_same_outcome_and_asks_nothing_that_was_answered() {
    for (ruleset, file) in &case_files() {
        for case in &file.cases {
            let mut host = config::shipped(ruleset);
            let (_, first) = play(&mut host, case, file.directory(case));
            let (_, again) = play(&mut host, case, file.directory(case));
            let failing = first.reply.as_ref().is_some_and(|reply| reply.status == 503);
            assert!(failing || again.calls.is_empty(), "{ruleset}: {}: {again:?}", case.name);
            let first = Expect { calls: again.calls.clone(), ..first };
            assert_eq!(first, again, "{ruleset}: {}", case.name);
        }
    }
}
