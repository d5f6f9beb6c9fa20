//! The `topology` command.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::{ctrl_c, unix};
use topology::config::Config;
use tracing_subscriber::EnvFilter;

/// The Topology Service: which Cell owns a route, a token, a session.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
enum Command {
    /// Answer questions over HTTP, until SIGINT or SIGTERM.
    Serve {
        /// The cells and claims; topology.example.toml documents every key.
        #[arg(long, value_name = "FILE", env = "TOPOLOGY_CONFIG")]
        config: PathBuf,
        /// Where REST listens.
        #[arg(
            long,
            value_name = "ADDR",
            env = "TOPOLOGY_LISTEN",
            default_value = "127.0.0.1:9096"
        )]
        listen: SocketAddr,
        /// Log lines on stderr are JSON; RUST_LOG chooses which ones (default: info).
        #[arg(long)]
        log_json: bool,
    },
    /// Check a configuration file and say what is wrong with it.
    Check {
        /// The file to check.
        #[arg(long, value_name = "FILE", env = "TOPOLOGY_CONFIG")]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Serve { config, listen, log_json } => serve(&config, listen, log_json).await,
        Command::Check { config } => Config::load(&config).map(drop).map_err(Into::into),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn serve(file: &Path, listen: SocketAddr, log_json: bool) -> Result<()> {
    log_to_stderr(log_json);
    let config = Config::load(file)?;
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let stop = async {
        tokio::select! { _ = ctrl_c() => (), _ = terminate.recv() => () }
    };
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, env = config.env, "serving");
    let (_publish, live) = tokio::sync::watch::channel(Arc::new(config));
    topology::serve(listener, live, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json { lines.json().init() } else { lines.init() }
}
