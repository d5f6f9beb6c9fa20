//! `ruleset`: checks, tests and explains the rules of the edge before they are moved into place.

mod check;
mod explain;
mod files;
mod install;
mod request;
mod test;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Check, test and explain the rules by which the edge picks a Cell.
///
/// A FILE is a ruleset, as rulesets/dependency_proxy.json, a filter's whole configuration that holds
/// one, or a folder of rulesets. Its cases are beside it, as rulesets/dependency_proxy.cases.json.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ruleset check rulesets
  ruleset test rulesets/dependency_proxy.json
  ruleset explain rulesets/container_registry.json /v2/acme/app/manifests/latest
  ruleset explain rulesets/dependency_proxy.json -u jo:glpat-… \\
      'https://gitlab.example/jwt/auth?service=container_registry'

Exit status: 0 all is well, 1 something was found, 2 wrong usage.";

#[derive(Subcommand)]
enum Command {
    /// Say what the filter would refuse, and what looks like a mistake.
    Check {
        /// Rulesets, filter configurations or folders.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Let a warning fail, too.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Run the cases beside each ruleset and show what came out otherwise.
    Test {
        /// Rulesets, filter configurations or folders.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The cases, where they are not beside the ruleset.
        #[arg(long, value_name = "CASES")]
        cases: Option<PathBuf>,
    },
    /// Show the way of one request through the rules; options as curl's.
    Explain(explain::Options),
    /// Check the configurations of the filter and move them to where Envoy watches for them.
    ///
    /// Nothing is moved unless all of them are valid.
    Install {
        /// The folder Envoy watches, as /etc/envoy.
        folder: PathBuf,
        /// Templates; each `${FILE}` in one is replaced by that file, relative to the current
        /// folder [default: envoy/filter-web.yaml envoy/filter-registry.yaml].
        #[arg(value_name = "TEMPLATE")]
        templates: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a ruleset, for editors.
    Schema {
        /// That of a ruleset's cases instead.
        #[arg(long)]
        cases: bool,
    },
}

/// What a command has to say, and whether all is well.
struct Report {
    text: String,
    well: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command).and_then(|report| print(&report)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Report> {
    match command {
        Command::Check { files, deny_warnings } => check::run(&files, deny_warnings),
        Command::Test { files, cases } => test::run(&files, cases.as_deref()),
        Command::Explain(options) => explain::run(&options),
        Command::Install { folder, templates } => install::run(&folder, &templates),
        Command::Schema { cases } => {
            let text = if cases { router::schema::cases() } else { router::schema::ruleset() };
            Ok(Report { text, well: true })
        }
    }
}

/// A reader that has seen enough, as `head`, is no error.
fn print(report: &Report) -> Result<bool> {
    match io::stdout().lock().write_all(report.text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(report.well),
    }
}
