//! `origin`: one Cell's dependency proxy, and its operator's commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use gitlab::group_path::GroupPath;
use origin::access::{Role, Visibility};
use origin::config::{Config, ExposeSecret as _};
use origin::reload::Watch;
use origin::{App, admin, inject};
use runtime::log::{self, Format};
use runtime::signals::StopSignals;
use strum::{EnumMessage, IntoEnumIterator};
use tokio::net::TcpListener;
use tracing::warn;

/// A Cell's dependency proxy: a pull-through cache of container registries.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The configuration file. origin.example.toml documents every key.
    #[arg(long, short, env = "ORIGIN_CONFIG", global = true, default_value = "origin.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM, then drain; a second signal exits at once.
    ///
    /// Changes to upstreams and password files take effect within about a second, or at once on
    /// SIGHUP. An invalid change is rejected and logged, and the previous upstreams stay in use.
    /// Every other key is read at startup only.
    Serve {
        /// Log one JSON object per event.
        #[arg(long, env = "ORIGIN_LOG_JSON")]
        log_json: bool,
    },
    /// Migrate the database schema and exit.
    Migrate,
    /// Validate the configuration file and exit.
    CheckConfig,
    /// Compare the database with the object store, and print one line per defect.
    ///
    /// A line names the kind of defect, `blob` or `manifest`, and the digest. Exit status: 0 if there
    /// is no defect or all were repaired, 1 if a defect remains, 2 if the check failed. Origins may
    /// serve meanwhile.
    Check {
        /// Delete defective rows and objects, and the links to them. The next pull fetches the content
        /// again.
        #[arg(long)]
        repair: bool,
        /// Compare sizes only; do not read the content.
        #[arg(long)]
        quick: bool,
    },
    /// Create a group, such as `acme` or `acme/team`; an existing group stays as it is.
    CreateGroup {
        /// The group's full path.
        path: GroupPath,
        /// Let everyone pull from the group's container registry.
        #[arg(long)]
        public: bool,
    },
    /// Change who may pull from a group's container registry without being a member.
    SetVisibility {
        /// The group's full path.
        path: GroupPath,
        /// The new visibility.
        #[arg(value_parser = enum_parser::<Visibility>())]
        visibility: Visibility,
    },
    /// Create a user; an existing user stays as it is.
    CreateUser {
        /// The user's name.
        username: String,
    },
    /// Make a user a member of a group and its subgroups, or change a member's role.
    AddMember {
        /// The group's full path.
        group: GroupPath,
        /// The user's name.
        username: String,
        /// The member's role. Each role includes the rights of the roles before it.
        #[arg(long, default_value = "developer", value_parser = enum_parser::<Role>())]
        role: Role,
    },
    /// Create a personal access token and print it. It cannot be printed again.
    CreateToken {
        /// The user the token authenticates.
        username: String,
        /// A name to tell the user's tokens apart.
        #[arg(long, default_value = "docker")]
        name: String,
    },
    /// Print the certificate with which the Cell's container registry verifies this Cell's tokens.
    ///
    /// It is the registry's `auth.token.rootcertbundle`. CNCF distribution 3 uses the response of
    /// /oauth/discovery/keys as `auth.token.jwks` instead.
    RegistryCertificate,
}

/// Accepts the names of an enum's variants; the help shows their doc comments.
fn enum_parser<T>() -> impl TypedValueParser<Value = T>
where
    T: IntoEnumIterator
        + EnumMessage
        + Into<&'static str>
        + FromStr
        + Clone
        + Send
        + Sync
        + 'static,
    T::Err: std::error::Error + Send + Sync,
{
    let names = T::iter().map(|value| {
        let help = value.get_documentation().unwrap_or_default();
        PossibleValue::new(value.into()).help(help)
    });
    PossibleValuesParser::new(names).try_map(|name| name.parse())
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
    /// A check that found defects exits with 1, so one that failed must differ.
    fn failure(&self) -> ExitCode {
        if matches!(self, Self::Check { .. }) { ExitCode::from(2) } else { ExitCode::FAILURE }
    }
}

/// Returns `false` if the command succeeded and found defects.
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
            println!("configuration OK");
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
