//! The `topology` command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use runtime::log::{self, Format};
use runtime::signals::StopSignals;
use tokio::net::TcpListener;
use topology::Listeners;
use topology::config::Config;
use topology::reload::Watcher;
use topology::service::Service;
use tracing::field::display;
use tracing::{info, warn};

/// The Topology Service: the directory that maps routes, tokens and sessions to Cells.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
enum Command {
    /// Serve REST and gRPC until SIGINT or SIGTERM; a second signal exits at once.
    ///
    /// A changed configuration file is loaded within about a second, and at once on SIGHUP. An
    /// invalid one is rejected: the log and /health/ready give the reason, and the previous
    /// configuration stays in use.
    Serve {
        /// The cells and claims; topology.example.toml documents every key.
        #[arg(long, value_name = "FILE", env = "TOPOLOGY_CONFIG")]
        config: PathBuf,
        /// The address for REST, /health/live, /health/ready and /metrics.
        #[arg(
            long,
            value_name = "ADDR",
            env = "TOPOLOGY_LISTEN",
            default_value = "127.0.0.1:9096"
        )]
        listen: SocketAddr,
        /// The address for gRPC, grpc.health.v1 and reflection; GDK uses 127.0.0.1:9095.
        /// Without it, gRPC is disabled.
        #[arg(long, value_name = "ADDR", env = "TOPOLOGY_GRPC_LISTEN")]
        grpc_listen: Option<SocketAddr>,
        /// Log JSON to standard error, one object per event. RUST_LOG selects the events (default:
        /// info).
        #[arg(long)]
        log_json: bool,
    },
    /// Check a configuration file and print the first error.
    Check {
        /// The file to check.
        #[arg(long, value_name = "FILE", env = "TOPOLOGY_CONFIG")]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Serve { config, listen, grpc_listen, log_json } => {
            // Dropped before an error is printed, so that it comes after the log.
            let _log = log::start(Format::json_if(log_json));
            serve(&config, listen, grpc_listen).await
        }
        Command::Check { config } => Config::load(&config).map(drop).map_err(Into::into),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn serve(file: &Path, rest: SocketAddr, grpc: Option<SocketAddr>) -> Result<()> {
    let (watcher, live, metrics) = Watcher::open(file)?;
    let signals = StopSignals::listen()?;
    let env = live.borrow().config.env.clone();
    let listeners = listen(rest, grpc, &env).await?;
    let service = Service::new(live, metrics);
    tokio::select! {
        served = topology::serve(listeners, service, signals.first()) => served?,
        () = second(&signals) => {}
        never = watcher.run() => never,
    }
    info!("stopped");
    Ok(())
}

async fn second(signals: &StopSignals) {
    signals.second().await;
    warn!("received a second signal: exiting without waiting for requests");
}

async fn listen(rest: SocketAddr, grpc: Option<SocketAddr>, env: &str) -> Result<Listeners> {
    let rest = bind(rest).await?;
    let grpc = match grpc {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let grpc_address = grpc.as_ref().map(TcpListener::local_addr).transpose()?.map(display);
    info!(address = %rest.local_addr()?, grpc_address, env, "serving");
    Ok(Listeners { rest, grpc })
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
