//! Examples are valid: configurations load, YAML and JSON parse, SQL runs, and shown output is real.

use std::fs;
use std::process::Command;

use harness::program::{self, workspace};
use origin::config::Config;
use serde_json::Value;
use sqlx::Executor as _;
use toml::Table;

use super::markdown::{Block, Document};
use super::{documents, none};

/// Applies a check to all blocks in these languages.
#[track_caller]
fn each(languages: &[&str], check: impl Fn(&str) -> Result<(), String>) {
    let mut defects = Vec::new();
    for document in documents() {
        for block in document.blocks_in(languages) {
            if let Err(problem) = check(&block.text) {
                defects.push(format!("{}:{}: {problem}", document.name(), block.line));
            }
        }
    }
    none(&defects);
}

#[test]
fn toml_loads_in_the_program_it_is_for() {
    each(&["toml"], |text| {
        let table = text.parse::<Table>().map_err(|error| error.to_string())?;
        match table.keys().next().map(String::as_str) {
            // containerd's.
            Some("host") => Ok(()),
            _ if table.contains_key("cells") => topology(text),
            _ => origin_config(table).map(drop),
        }
    });
}

/// Loads a part of `origin.toml`.
fn origin_config(part: Table) -> Result<Config, String> {
    Config::parse(&completed(part).to_string()).map_err(|error| format!("{error:#}"))
}

/// A part of `origin.toml`, with what every configuration needs around it.
fn completed(part: Table) -> Table {
    let minimal = "
        cell.id = 1
        http = { listen = \"127.0.0.1:1\", external_url = \"http://edge.example\" }
        database.url = \"sqlite:/origin.db\"
        store = { url = \"file:///objects\", spool = \"/spool\" }";
    let mut whole: Table = minimal.parse().unwrap();
    for (section, keys) in part {
        match (whole.get_mut(&section), keys) {
            (Some(toml::Value::Table(known)), toml::Value::Table(keys)) => known.extend(keys),
            (_, keys) => drop(whole.insert(section, keys)),
        }
    }
    whole
}

fn topology(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    fs::write(&file, text).unwrap();
    let program = program::own("topology").unwrap();
    let output = Command::new(program).arg("check").arg("--config").arg(&file).output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(problem) }
}

#[test]
fn json_and_yaml_parse() {
    each(&["json"], |text| {
        serde_json::from_str::<Value>(text).map(drop).map_err(|error| error.to_string())
    });
    each(&["yaml"], |text| {
        serde_saphyr::from_str::<Value>(text).map(drop).map_err(|error| error.to_string())
    });
}

#[tokio::test]
async fn sql_runs_on_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/origin.db", folder.path().display());
    let config = origin_config(format!("database.url = \"{url}\"").parse().unwrap()).unwrap();
    origin::admin::open(&config).await.unwrap();
    let pool = sqlx::AnyPool::connect(&url).await.unwrap();
    for document in documents() {
        for block in document.blocks_in(&["sql"]) {
            let sql = sqlx::AssertSqlSafe(block.text.clone());
            let run = pool.execute(sqlx::raw_sql(sql)).await;
            assert!(run.is_ok(), "{}:{}: {run:?}", document.name(), block.line);
        }
    }
}

#[test]
fn the_output_shown_below_a_command_is_what_it_prints() {
    let documents = documents();
    let shown: Vec<_> = documents.iter().flat_map(outputs).collect();
    assert!(!shown.is_empty());
    for (command, output) in shown {
        let mut words = command.text.split_whitespace();
        let program = program::own(words.next().unwrap()).unwrap();
        let run = Command::new(program).args(words).current_dir(workspace()).output().unwrap();
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(printed.trim_end(), output.text.trim_end(), "{}", command.text);
    }
}

/// Blocks of text that follow a block with one command.
fn outputs(document: &Document) -> impl Iterator<Item = (&Block, &Block)> {
    let pairs = document.blocks.windows(2).map(|pair| (&pair[0], &pair[1]));
    pairs.filter(|(command, output)| command.language == "sh" && output.language == "text")
}
