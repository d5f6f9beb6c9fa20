//! Replays the cases of the shipped rulesets through the compiled filter.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use router::cases::{Case, CaseFile, Directory, Expect, ExpectReply, filter_config};
use router::{CallError, CallResult};
use wasm_host::{CallId, FilterHost, StreamId, StreamState};

use crate::{filter, rulesets};

/// The result of a case.
#[derive(Debug)]
pub struct Replayed {
    /// The request, which has not ended yet.
    pub stream: StreamId,
    /// What a client and the upstream observed.
    pub observed: Expect,
    /// The fuel that deciding the request took.
    pub fuel: u64,
}

/// Reads the names and cases of the shipped rulesets, sorted.
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

/// Starts a host with a shipped ruleset.
///
/// # Errors
/// No ruleset has this name, or the filter refuses it.
pub fn shipped(name: &str) -> Result<FilterHost> {
    Ok(filter::start(filter_config(&rulesets::read(name)?).to_string())?)
}

/// Sends the request of a case, and responds to its calls round by round.
///
/// # Errors
/// The filter traps, or pauses the request without a call.
pub fn play(host: &mut FilterHost, case: &Case, directory: &Directory) -> Result<Replayed> {
    let stream = host.on_request_headers(case.request.headers())?;
    let mut fuel = host.fuel_of_last_call();
    let mut calls = Vec::new();
    while host.stream_state(stream)? == StreamState::Paused {
        let outstanding = host.calls();
        if outstanding.is_empty() {
            bail!("{}: the request is paused without a call", case.name);
        }
        for call in outstanding {
            calls.push(serde_json::from_slice(&call.body)?);
            respond(host, call.id, directory.respond(&call.body))?;
            fuel += host.fuel_of_last_call();
        }
    }
    let observed = Expect { calls, ..observe(host, case, stream)? };
    Ok(Replayed { stream, observed, fuel })
}

fn respond(host: &mut FilterHost, call: CallId, result: CallResult) -> Result<()> {
    match result {
        Ok(response) => {
            let headers = response.cache_control.iter().map(|value| ("cache-control", value));
            host.respond(call, response.status, headers, &response.body)
        }
        Err(CallError::Timeout) => host.time_out(call),
        Err(_) => host.fail(call),
    }
}

fn observe(host: &mut FilterHost, case: &Case, stream: StreamId) -> Result<Expect> {
    if let Some(reply) = host.local_reply(stream) {
        let reply = ExpectReply::of(u16::try_from(reply.status)?, &reply.body);
        return Ok(Expect { reply: Some(reply), ..Expect::default() });
    }
    host.on_response_headers(stream, [(":status", "200")])?;
    let path = host.header(stream, ":path").map(|path| without_query(&path));
    let requested = without_query(&case.request.path);
    Ok(Expect {
        rule: host.response_headers(stream)?.text("x-cell-rule"),
        cell: host.header(stream, "x-cell-cluster"),
        r#type: host.header(stream, "x-gitlab-http-router-rule-type"),
        hash_key: host.header(stream, "x-cell-hash-key"),
        rewrite_path: path.filter(|path| *path != requested),
        ..Expect::default()
    })
}

/// The path of a request target.
#[must_use]
pub fn without_query(target: &str) -> String {
    target.split('?').next().unwrap_or_default().to_owned()
}
