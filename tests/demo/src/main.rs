//! `demo`: runs the whole edge on this machine, in the foreground, until Ctrl-C.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use harness::program;
use harness::stack::{ExitedProcess, Group, Ports, RegistryDesign, Settings, Stack};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

const HELP: &str = "\
Runs Envoy with the filter, the Topology Service and two Cells on 127.0.0.1 until Ctrl-C.
Each Cell has an origin and a container registry.

  DEMO_UPSTREAM         the registry to cache, such as http://127.0.0.1:5555 or
                        http://user:password@host; default: Docker Hub
  DEMO_DIR              the folder of all state; default: demo/ in the target folder
  DEMO_TOPOLOGY         another Topology Service for the edge to query, such as
                        http://127.0.0.1:7777; the demo's own runs as well
  DEMO_REGISTRY_DESIGN  how the Topology Service returns a Cell's registry: `answer` (default), in
                        every response; `request`, in the response to a request for registries
";

#[tokio::main]
async fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        print!("{HELP}");
        return ExitCode::from(u8::from(!env::args().any(|word| word == "--help")) * 2);
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let settings = settings()?;
    let file = settings.folder.join("demo.json");
    // A program that waits for the file must not find that of an earlier run.
    let _ = fs::remove_file(&file);
    println!("starting; logs and state are in {}", settings.folder.display());
    let mut stack = tokio::select! {
        stack = Stack::start(&settings) => stack?,
        () = any(&mut signals) => return Ok(()),
    };
    publish(&stack, &file)?;
    explain(&stack, &settings, &file)?;
    let end = tokio::select! {
        exited = watch(&mut stack) => exited,
        () = any(&mut signals) => Ok(()),
    };
    println!("stopping");
    let _ = fs::remove_file(&file);
    drop(stack);
    end
}

fn settings() -> Result<Settings> {
    let folder = env::var_os("DEMO_DIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| program::target().join("demo"), PathBuf::from);
    let design = variable("DEMO_REGISTRY_DESIGN")?.unwrap_or(RegistryDesign::Answer);
    Ok(Settings {
        upstream: variable("DEMO_UPSTREAM")?,
        other_topology: variable("DEMO_TOPOLOGY")?,
        registry_design: design,
        ..Settings::new(Ports::DEMO, folder)
    })
}

/// Parses an environment variable; an empty one counts as not set.
fn variable<T: FromStr<Err: Into<anyhow::Error>>>(name: &str) -> Result<Option<T>> {
    let text = env::var(name).ok().filter(|text| !text.is_empty());
    let read = text.map(|text| {
        let redacted = without_password(&text);
        text.parse().map_err(Into::into).with_context(|| format!("{name}={redacted}"))
    });
    read.transpose()
}

async fn any(signals: &mut [Signal; 3]) {
    let [interrupt, terminate, hangup] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Reports every process that exits. The demo shows how the edge behaves without it, except without
/// Envoy.
async fn watch(stack: &mut Stack) -> Result<()> {
    loop {
        match stack.exited()? {
            Some(ExitedProcess { is_edge: true, report }) => bail!(report),
            Some(ExitedProcess { is_edge: false, report }) => print!("\n{report}"),
            None => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

fn publish(stack: &Stack, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(&json!({
        "edge": stack.edge(),
        "registry": stack.registry_edge(),
        "groups": stack.groups,
    }))?;
    Ok(router::install::move_into_place(file, &(text + "\n"))?)
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

fn explain(stack: &Stack, settings: &Settings, file: &Path) -> Result<()> {
    let Ports { edge, registry_edge, admin, topology, .. } = stack.ports;
    let upstream = settings.upstream.as_deref();
    println!("\nupstream          {}", upstream.map_or("Docker Hub".to_owned(), without_password));
    println!("edge              http://127.0.0.1:{edge}/v2/");
    println!("its registry      http://127.0.0.1:{registry_edge}/v2/");
    println!("Envoy's admin     http://127.0.0.1:{admin}/");
    println!("Topology Service  http://127.0.0.1:{topology}/v1/cells");
    if let Some(other) = &settings.other_topology {
        println!("                  but the edge queries http://{}", other.authority());
    }
    for group in &stack.groups {
        let Group { path, cell, username, password, image_prefix, registry_prefix } = group;
        println!("\n{path}, on {cell}:");
        println!("  docker login 127.0.0.1:{edge} --username {username} --password {password}");
        println!("  docker pull {image_prefix}/alpine:latest");
        println!(
            "  docker login 127.0.0.1:{registry_edge} --username {username} --password {password}"
        );
        println!("  docker tag {image_prefix}/alpine:latest {registry_prefix}/app:latest");
        println!("  docker push {registry_prefix}/app:latest");
        println!("  docker pull {registry_prefix}/app:latest");
    }
    println!("\nready: {} holds the same for programs; Ctrl-C stops everything", file.display());
    std::io::Write::flush(&mut std::io::stdout()).context("cannot print")
}
