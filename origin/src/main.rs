//! `origin`: one Cell's dependency proxy, and the commands its operator needs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use origin::config::{Config, ExposeSecret as _};
use origin::db::groups::{Role, Visibility};
use origin::reload::Watch;
use origin::{App, admin, inject};
use runtime::log::{self, Format};
use runtime::signals::StopSignals;
use tokio::net::TcpListener;
use tracing::warn;

/// A Cell's dependency proxy: a pull-through cache of container registries.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The configuration file; every key is explained in origin.example.toml.
    #[arg(long, short, env = "ORIGIN_CONFIG", global = true, default_value = "origin.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM, then let requests under way end; a second one ends at once.
    ///
    /// Changed upstreams and password files are used within a second or so, and at once on SIGHUP;
    /// what is wrong is refused and logged, and the former ones are still used. Everything else in
    /// the file is read at the start only.
    Serve {
        /// Log as JSON, a line an event.
        #[arg(long, env = "ORIGIN_LOG_JSON")]
        log_json: bool,
    },
    /// Bring the database's schema up to date and exit.
    Migrate,
    /// Say what is wrong with the configuration file and exit.
    CheckConfig,
    /// Compare rows, objects and bytes with each other, and tell each defect in a line: its kind,
    /// blob or manifest, digest. Exits with 0 where nothing is wrong or all is mended, 1 where
    /// something stays wrong, 2 where it could not be found out. Origins may serve meanwhile.
    Check {
        /// Remove what is wrong, and what leads to it: the next pull fetches it again.
        #[arg(long)]
        repair: bool,
        /// Compare lengths only, and read no bytes.
        #[arg(long)]
        quick: bool,
    },
    /// Make a group, as `acme` or `acme/team`; one that is there stays as it is.
    CreateGroup {
        /// The group's full path.
        path: String,
        /// Let anybody pull from its part of the container registry.
        #[arg(long)]
        public: bool,
    },
    /// Change who may pull from a group's part of the container registry without being a member.
    SetVisibility {
        /// The group's full path.
        path: String,
        /// Nobody, or anybody.
        visibility: Visibility,
    },
    /// Make a user; one that is there stays as it is.
    CreateUser {
        /// The user's name.
        username: String,
    },
    /// Make a user a member of a group and of the groups below it, or change a member's role.
    AddMember {
        /// The group's full path.
        group: String,
        /// The user's name.
        username: String,
        /// What the member may do.
        #[arg(long, default_value = "developer")]
        role: Role,
    },
    /// Make a personal access token and print it; it is shown this once.
    CreateToken {
        /// The user it stands for.
        username: String,
        /// What it is for, to tell it from others.
        #[arg(long, default_value = "docker")]
        name: String,
    },
    /// Print the certificate by which the Cell's container registry knows this Cell's tokens: its
    /// `auth.token.rootcertbundle`. CNCF distribution 3 takes the answer of /oauth/discovery/keys
    /// instead, as `auth.token.jwks`.
    RegistryCertificate,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = cli.command.failure();
    match run(cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("origin: {error:#}");
            failure
        }
    }
}

impl Command {
    /// A check that found something differs from one that could not look.
    fn failure(&self) -> ExitCode {
        if matches!(self, Self::Check { .. }) { ExitCode::from(2) } else { ExitCode::FAILURE }
    }
}

/// `false`: it was done, and something is wrong.
async fn run(cli: Cli) -> Result<bool> {
    if let Command::Serve { log_json } = cli.command {
        return serve(&cli.config, log_json).await.map(|()| true);
    }
    let config = Config::load(&cli.config)?;
    if let Command::Check { repair, quick } = cli.command {
        return admin::check(&config, repair, quick).await;
    }
    command(&config, cli.command).await.map(|()| true)
}

async fn command(config: &Config, command: Command) -> Result<()> {
    match command {
        Command::Migrate => admin::open(config).await.map(drop),
        Command::CheckConfig => {
            println!("nothing is wrong with it");
            Ok(())
        }
        Command::Check { .. } | Command::Serve { .. } => Ok(()),
        Command::CreateGroup { path, public } => {
            let visibility = if public { Visibility::Public } else { Visibility::Private };
            admin::create_group(&admin::open(config).await?, &path, visibility).await
        }
        Command::SetVisibility { path, visibility } => {
            admin::set_visibility(&admin::open(config).await?, &path, visibility).await
        }
        Command::CreateUser { username } => {
            admin::create_user(&admin::open(config).await?, &username).await
        }
        Command::AddMember { group, username, role } => {
            admin::add_member(&admin::open(config).await?, &group, &username, role).await
        }
        Command::CreateToken { username, name } => {
            let db = admin::open(config).await?;
            let token = admin::create_token(config, &db, &username, &name).await?;
            println!("{}", token.expose_secret());
            Ok(())
        }
        Command::RegistryCertificate => {
            print!("{}", admin::registry_certificate(config)?);
            Ok(())
        }
    }
}

async fn serve(file: &Path, log_json: bool) -> Result<()> {
    let (config, watch) = Watch::load(file)?;
    // Dropped last, so that events logged while everything else stops are written too.
    let _log = log::start(Format::json_if(log_json));
    inject::warn_if_built_in();
    let app = App::new(&config).await?;
    watch.start(&app);
    let address = config.http.listen;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let signals = StopSignals::listen()?;
    tokio::select! {
        served = origin::serve(app, listener, signals.first()) => served,
        () = signals.second() => {
            warn!("received a second signal: exiting without waiting for requests");
            Ok(())
        }
    }
}
