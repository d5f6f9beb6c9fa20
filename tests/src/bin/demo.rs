//! `demo`: the whole edge on this machine, in the foreground, until Ctrl-C.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::program;
use e2e::stack::{Casualty, Group, Ports, RegistryDesign, Settings, Stack};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

const HELP: &str = "\
Starts Envoy with the filter, the Topology Service and two cells on 127.0.0.1, until Ctrl-C.
Each cell is an origin and a container registry.

  DEMO_UPSTREAM         the registry to cache, as http://127.0.0.1:5555 or http://user:password@host;
                        Docker Hub where it is not set
  DEMO_DIR              where all state lives; default: demo/ in the target folder
  DEMO_TOPOLOGY         another Topology Service for the edge to ask, as http://127.0.0.1:7777; the
                        demo's own runs besides
  DEMO_REGISTRY_DESIGN  where a Topology Service names a cell's registry: in every `answer`, the
                        default, or in those to a `request` that asks for it
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
    // Whoever waits for the file must not find the one of an earlier run.
    let _ = fs::remove_file(&file);
    println!("starting; logs and state are in {}", settings.folder.display());
    let mut stack = tokio::select! {
        stack = Stack::start(&settings) => stack?,
        () = any(&mut signals) => return Ok(()),
    };
    publish(&stack, &file)?;
    explain(&stack, &settings, &file)?;
    let end = tokio::select! {
        casualty = watch(&mut stack) => casualty,
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
    let design = given("DEMO_REGISTRY_DESIGN")?.unwrap_or(RegistryDesign::Answer);
    Ok(Settings {
        upstream: given("DEMO_UPSTREAM")?,
        other_topology: given("DEMO_TOPOLOGY")?,
        registry_design: design,
        ..Settings::new(Ports::DEMO, folder)
    })
}

/// What a variable says; one that is empty says nothing.
fn given<T: FromStr<Err: Into<anyhow::Error>>>(name: &str) -> Result<Option<T>> {
    let text = env::var(name).ok().filter(|text| !text.is_empty());
    let read = text.map(|text| {
        let shown = without_password(&text);
        text.parse().map_err(Into::into).with_context(|| format!("{name}={shown}"))
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

/// What an edge does without one of its parts is part of the demo; without Envoy there is none.
async fn watch(stack: &mut Stack) -> Result<()> {
    loop {
        match stack.casualty()? {
            Some(Casualty { is_edge: true, news }) => bail!(news),
            Some(Casualty { is_edge: false, news }) => print!("\n{news}"),
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
        println!("                  but the edge asks http://{}", other.authority());
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
    println!("\nready: {} says the same for programs; Ctrl-C stops everything", file.display());
    std::io::Write::flush(&mut std::io::stdout()).context("cannot print")
}
