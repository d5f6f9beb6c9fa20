//! The `topology` command.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::{ctrl_c, unix};
use topology::Listeners;
use topology::config::Config;
use topology::reload::Watcher;
use topology::service::Service;
use tracing::field::display;
use tracing_subscriber::EnvFilter;

/// The Topology Service: which Cell owns a route, a token, a session.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
enum Command {
    /// Answer questions over REST and gRPC, until SIGINT or SIGTERM.
    ///
    /// A changed configuration file is served within a second or so, and at once on SIGHUP; a wrong
    /// one is refused, logged and named by /health/ready, and the former one is still served.
    Serve {
        /// The cells and claims; topology.example.toml documents every key.
        #[arg(long, value_name = "FILE", env = "TOPOLOGY_CONFIG")]
        config: PathBuf,
        /// Where REST listens, with /health/live, /health/ready and /metrics.
        #[arg(
            long,
            value_name = "ADDR",
            env = "TOPOLOGY_LISTEN",
            default_value = "127.0.0.1:9096"
        )]
        listen: SocketAddr,
        /// Where gRPC listens, with grpc.health.v1 and reflection; 127.0.0.1:9095 is GDK's choice.
        /// Without it there is no gRPC.
        #[arg(long, value_name = "ADDR", env = "TOPOLOGY_GRPC_LISTEN")]
        grpc_listen: Option<SocketAddr>,
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
        Command::Serve { config, listen, grpc_listen, log_json } => {
            log_to_stderr(log_json);
            serve(&config, listen, grpc_listen).await
        }
        Command::Check { config } => Config::load(&config).map(drop).map_err(Into::into),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn serve(file: &Path, rest: SocketAddr, grpc: Option<SocketAddr>) -> Result<()> {
    let (watcher, live, metrics) = Watcher::open(file)?;
    let hangup = unix::signal(unix::SignalKind::hangup())?;
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let stop = async {
        tokio::select! { _ = ctrl_c() => (), _ = terminate.recv() => () }
    };
    let env = live.borrow().config.env.clone();
    let listeners = listen(rest, grpc, &env).await?;
    let service = Service::new(live, metrics);
    tokio::select! {
        served = topology::serve(listeners, service, stop) => served?,
        never = watcher.run(hangup) => never,
    }
    tracing::info!("stopped");
    Ok(())
}

async fn listen(rest: SocketAddr, grpc: Option<SocketAddr>, env: &str) -> Result<Listeners> {
    let rest = bind(rest).await?;
    let grpc = match grpc {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let grpc_address = grpc.as_ref().map(TcpListener::local_addr).transpose()?.map(display);
    tracing::info!(address = %rest.local_addr()?, grpc_address, env, "serving");
    Ok(Listeners { rest, grpc })
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json { lines.json().init() } else { lines.init() }
}
