//! Plays the cases of the shipped rulesets through the compiled filter.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use router::cases::{Case, CaseFile, Directory, Expect, ExpectReply, filter_config};
use router::{CallError, CallResult};

use crate::host::{CallId, FilterHost, Outcome, StreamId};
use crate::rulesets;

/// What came of a case.
#[derive(Debug)]
pub struct Played {
    /// The request, which is still open.
    pub stream: StreamId,
    /// What was seen from outside.
    pub seen: Expect,
    /// Fuel of all the request took until it was decided.
    pub fuel: u64,
}

/// The shipped rulesets' names and cases, sorted.
///
/// # Errors
/// A file cannot be read.
pub fn case_files() -> Result<Vec<(String, CaseFile)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(rulesets::folder())? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(".cases.json")) {
            let name = name.to_owned();
            files.push((name, load(&file).with_context(|| file.display().to_string())?));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

fn load(file: &Path) -> Result<CaseFile> {
    Ok(CaseFile::from_json(&fs::read(file)?)?)
}

/// A host with a shipped ruleset.
///
/// # Errors
/// There is none of this name, or the filter refuses it.
pub fn shipped(name: &str) -> Result<FilterHost> {
    Ok(FilterHost::start(filter_config(&rulesets::read(name)?).to_string())?)
}

/// Sends a case's request and answers its calls, each round in turn.
///
/// # Errors
/// The filter traps, or waits for nothing.
pub fn play(host: &mut FilterHost, case: &Case, directory: &Directory) -> Result<Played> {
    let stream = host.on_request_headers(case.request.headers())?;
    let mut fuel = host.fuel_of_last_call();
    let mut calls = Vec::new();
    while host.outcome(stream)? == Outcome::Pause {
        let open = host.calls();
        if open.is_empty() {
            bail!("{}: waits for nothing", case.name);
        }
        for call in open {
            calls.push(serde_json::from_slice(&call.body)?);
            give(host, call.id, directory.respond(&call.body))?;
            fuel += host.fuel_of_last_call();
        }
    }
    let seen = Expect { calls, ..seen(host, case, stream)? };
    Ok(Played { stream, seen, fuel })
}

fn give(host: &mut FilterHost, call: CallId, answer: CallResult) -> Result<()> {
    match answer {
        Ok(answer) => {
            let headers = answer.cache_control.iter().map(|value| ("cache-control", value));
            host.answer(call, answer.status, headers, &answer.body)
        }
        Err(CallError::Timeout) => host.time_out(call),
        Err(_) => host.fail(call),
    }
}

fn seen(host: &mut FilterHost, case: &Case, stream: StreamId) -> Result<Expect> {
    if let Some(reply) = host.local_reply(stream) {
        let reply = ExpectReply::of(u16::try_from(reply.status)?, &reply.body);
        return Ok(Expect { reply: Some(reply), ..Expect::default() });
    }
    host.on_response_headers(stream, [(":status", "200")])?;
    let path = host.header(stream, ":path").map(|path| without_query(&path));
    let asked = without_query(&case.request.path);
    Ok(Expect {
        rule: host.response_headers(stream)?.text("x-cell-rule"),
        cell: host.header(stream, "x-cell-cluster"),
        r#type: host.header(stream, "x-gitlab-http-router-rule-type"),
        hash_key: host.header(stream, "x-cell-hash-key"),
        rewrite_path: path.filter(|path| *path != asked),
        ..Expect::default()
    })
}

/// A request target's path.
#[must_use]
pub fn without_query(target: &str) -> String {
    target.split('?').next().unwrap_or_default().to_owned()
}
