//! The commands: one file a subcommand.

mod check;
mod collector_flags;
mod daemon;
mod demo;
mod healthcheck;
mod help;
mod indexes;
mod output;
mod rating;
mod run;
mod systemd;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config, Environment};
use crate::indexes::Catalogue;
use crate::plan::{self, Plan};
use crate::process;
use crate::sampler::chain;
use crate::state::Role;
use crate::yaml::Path;
use output::report_error;

/// The variable of the setting that `--role` stands for.
const ROLE: &str = "POOLWATCH__ROLE";
/// The settings or the command line are wrong.
const WRONG_USAGE: u8 = 2;
/// Anything else went wrong.
const FAILED: u8 = 1;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "poolwatch",
    about = "Watches an application's PostgreSQL connection pools and the server behind them, for \
             Prometheus",
    version = version(),
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon, which samples and serves metrics; the default
    Run,
    /// Reads every source once and reports what works, what does not, and what to do
    Check(check::Arguments),
    /// Compares the indexes that the application needs with the database's, and creates the missing
    /// ones without blocking it
    Indexes(indexes::Arguments),
    #[command(about = demo::ABOUT)]
    Demo(demo::Arguments),
    /// Checks that a running daemon is alive, for Docker's HEALTHCHECK
    Healthcheck(healthcheck::Arguments),
}

/// Flags that every command understands.
#[derive(Debug, Args)]
struct Flags {
    /// The YAML file with the settings
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// sidecar, which listens to workers and opens no connection to a database; watcher, which reads
    /// servers; or standalone, which does both
    #[arg(long = "role", value_name = "ROLE", global = true)]
    role: Option<Role>,
    /// Check the settings and exit
    #[arg(long = "config.check", global = true)]
    config_check: bool,
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        global = true,
        help = "Address to listen on, such as :8001 or [::1]:8001; may be given several times"
    )]
    listen_address: Vec<String>,
    /// The file that configures TLS or authentication
    #[arg(long = "web.config.file", value_name = "FILE", global = true)]
    web_config_file: Option<PathBuf>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", global = true)]
    telemetry_path: Option<String>,
    /// Allow a reload by POST to /-/reload
    #[arg(long = "web.enable-lifecycle", global = true)]
    enable_lifecycle: bool,
    /// error, warn, info, debug or trace
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    log_level: Option<config::LogLevel>,
    /// logfmt or json
    #[arg(long = "log.format", value_name = "FORMAT", global = true)]
    log_format: Option<config::LogFormat>,
    #[command(flatten)]
    collectors: collector_flags::CollectorFlags,
}

impl Flags {
    /// The settings in force: defaults, file, environment, flags.
    fn config(&self, environment: &Environment) -> Result<Config, config::Error> {
        let file = self.config_file.clone().or_else(config::usual_file);
        let mut environment = environment.clone();
        // It decides which of the other variables are read.
        environment.extend(self.role.map(|role| (ROLE.to_owned(), role.as_str().to_owned())));
        let mut config = Config::load(file.as_deref(), &environment)?;
        if !self.listen_address.is_empty() {
            config.web.listen_addresses.clone_from(&self.listen_address);
        }
        if let Some(file) = &self.web_config_file {
            config.web.web_config_file = Some(file.clone());
        }
        if let Some(path) = &self.telemetry_path {
            config.web.telemetry_path.clone_from(path);
        }
        config.web.enable_lifecycle |= self.enable_lifecycle;
        self.collectors.apply(&mut config);
        config.log.level = self.log_level.unwrap_or(config.log.level);
        config.log.format = self.log_format.unwrap_or(config.log.format);
        Ok(config)
    }
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The settings are wrong.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
    /// Already reported, in a form of its own.
    #[error("")]
    AlreadyReported,
}

impl CommandError {
    fn other(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Other(chain(error))
    }

    fn usage(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Usage(chain(error))
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let command = help::shown_for(CommandLine::command(), std::env::args_os());
    let matches = command.try_get_matches();
    let line = match matches.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(line) => line,
        Err(error) => return output::print_clap_error(&error),
    };
    let environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match dispatch(line, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::AlreadyReported) => ExitCode::from(FAILED),
        Err(CommandError::Usage(error)) => report_error(&error, WRONG_USAGE),
        Err(CommandError::Other(error)) => report_error(&error, FAILED),
    }
}

fn dispatch(line: CommandLine, environment: Environment) -> Result<(), CommandError> {
    if let Some(Command::Demo(arguments)) = &line.command {
        return demo::main(arguments, line.flags.listen_address.first());
    }
    let config = line.flags.config(&environment).map_err(|error| CommandError::usage(&error))?;
    if line.flags.config_check {
        return check_only(&config);
    }
    match &line.command {
        Some(Command::Check(arguments)) => check::main(&config, arguments),
        Some(Command::Indexes(arguments)) => indexes::main(&config, arguments),
        Some(Command::Healthcheck(arguments)) => healthcheck::main(&config, arguments),
        _ => {
            let flags = line.flags;
            run::main(config, Arc::new(move || flags.config(&environment)))
        }
    }
}

fn check_only(config: &Config) -> Result<(), CommandError> {
    for warning in config.warnings() {
        output::warn(warning);
    }
    if let Some(file) = &config.indexes.catalogue {
        let setting = ["indexes", "catalogue"].into_iter().collect();
        Catalogue::read(file).map_err(|error| wrong(config, &setting, chain(&error)))?;
    }
    for spec in plan(config)?.sources {
        let (name, section) = (spec.identity().name.clone(), spec.section().clone());
        spec.check()
            .map_err(|error| wrong(config, &section, format!("{name}: {}", chain(&*error))))?;
    }
    config.web.check().map_err(|error| {
        let setting: Path = ["web", error.setting()].into_iter().collect();
        wrong(config, &setting, format!("{setting}: {}", chain(&error)))
    })?;
    output::print("the settings are right\n")
}

/// The plan of these settings.
fn plan(config: &Config) -> Result<Plan, CommandError> {
    Plan::new(config).map_err(|error| CommandError::usage(&plan_error(config, &error)))
}

/// Why there is no plan, with the place of the setting that is to blame.
fn plan_error(config: &Config, error: &plan::Error) -> config::Error {
    config.wrong(&error.setting, chain(&*error.reason))
}

fn wrong(config: &Config, setting: &Path, reason: String) -> CommandError {
    CommandError::usage(&config.wrong(setting, reason))
}

/// A runtime on this thread alone: what poolwatch does is wait.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| CommandError::other(&error))
}

/// Version, revision where it is known, and platform, as `--version` prints them.
fn version() -> String {
    let revision = match process::REVISION {
        "" => String::new(),
        revision => format!("revision {revision}, "),
    };
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    format!("{} ({revision}{platform})", process::VERSION)
}
