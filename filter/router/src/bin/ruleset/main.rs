//! `ruleset`: checks, tests, explains and installs the rules of the edge.

mod check;
mod explain;
mod files;
mod install;
mod report;
mod request;
mod test;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use report::Report;

/// Check, test, explain and install the rules by which the edge selects a Cell.
///
/// A FILE is a ruleset such as rulesets/dependency_proxy.json, a filter configuration that contains a
/// ruleset, or a folder of rulesets. The cases of NAME.json are in NAME.cases.json.
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
  ruleset install /etc/envoy
  ruleset explain rulesets/container_registry.json /v2/acme/app/manifests/latest
  ruleset explain rulesets/dependency_proxy.json -u jo:glpat-… \\
      'https://gitlab.example/jwt/auth?service=container_registry'

Exit status: 0 success, 1 errors or failed cases, 2 invalid usage.";

#[derive(Subcommand)]
enum Command {
    /// Report errors, for which the filter would reject a ruleset, and warnings.
    Check {
        /// Rulesets, filter configurations or folders.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Fail if there are warnings.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Run the cases of each ruleset and report the differences.
    Test {
        /// Rulesets, filter configurations or folders.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The file of cases, instead of NAME.cases.json.
        #[arg(long, value_name = "CASES")]
        cases: Option<PathBuf>,
    },
    /// Show how the rules route one request; takes the options of curl.
    Explain(explain::Options),
    /// Check the configurations of the filter and move them to the folder that Envoy watches.
    ///
    /// No file is moved unless all configurations are valid.
    Install {
        /// The folder that Envoy watches, such as /etc/envoy.
        folder: PathBuf,
        /// Templates; each `${FILE}` in one is replaced by that file, relative to the current
        /// folder [default: envoy/filter-web.yaml envoy/filter-registry.yaml].
        #[arg(value_name = "TEMPLATE")]
        templates: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a ruleset, for editors.
    Schema {
        /// Print the schema of a ruleset's cases instead.
        #[arg(long)]
        cases: bool,
    },
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
            Ok(Report { text, success: true })
        }
    }
}

/// Prints the text. A reader that closes the pipe early, such as `head`, is not an error.
fn print(report: &Report) -> Result<bool> {
    match io::stdout().lock().write_all(report.text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(report.success),
    }
}
