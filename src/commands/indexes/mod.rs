//! The indexes that the application needs, against those that its database has; creates the
//! missing ones when asked to.

mod page;
mod plans;
mod progress;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::rating::OutputFormat;
use super::{CommandError, output, runtime};
use crate::config::Config;
use crate::indexes::{
    Builder, Catalogue, Comparison, ExpectedIndex, Inventory, Outcome, State, compare,
};
use crate::postgres::{Access, Database};
use crate::sampler::chain;
use plans::Plans;
use progress::Progress;

/// The catalogue that is read when none is named.
const USUAL_CATALOGUE: &str = "/etc/poolwatch/indexes.yml";

/// The reason why nothing can be compared.
const NO_CATALOGUE: &str = "nothing says which indexes are expected: name a file with --catalogue, \
                            such as config/indexes.yml, or in the settings as indexes.catalogue";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file with the expected indexes; by default the one in the settings
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// The server, by its name in the settings; by default indexes.server, or the first
    #[arg(long, alias = "database", value_name = "NAME")]
    server: Option<String>,
    /// Create missing indexes and rebuild invalid ones, while others read and write
    #[arg(long)]
    apply: bool,
    /// Format of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

pub(super) fn main(config: &Config, arguments: &Arguments) -> Result<(), CommandError> {
    let name = server(config, arguments)?;
    let settings = &config.servers[&name];
    let catalogue = catalogue(config, arguments)?;
    let is_named = catalogue.is_some();
    let catalogue = catalogue.unwrap_or_default();
    let open = settings.open(&name).map_err(|error| CommandError::usage(&error))?;
    runtime()?.block_on(async {
        if arguments.apply {
            let before = compare_with(&open, &catalogue).await?;
            let access = settings.builders(&name).map_err(|error| CommandError::usage(&error))?;
            apply(&open, access, &before, arguments.format).await?;
        }
        let now = compare_with(&open, &catalogue).await?;
        let plans = plans::explain_missing(&open, &now).await;
        output::print(&shown(&now, &plans, arguments))?;
        if now.expected.is_empty() && !is_named {
            return Err(CommandError::Other(NO_CATALOGUE.to_owned()));
        }
        let good = now.invalid.is_empty() && now.expected.iter().all(|(_, state)| state.is_good());
        if good { Ok(()) } else { Err(CommandError::AlreadyReported) }
    })
}

/// The server that is meant.
fn server(config: &Config, arguments: &Arguments) -> Result<String, CommandError> {
    let named = arguments.server.as_ref().or(config.indexes.server.as_ref());
    let names = || config.servers.keys().cloned().collect::<Vec<_>>().join(", ");
    match named {
        Some(name) if config.servers.contains_key(name) => Ok(name.clone()),
        Some(name) => {
            Err(CommandError::Usage(format!("no server `{name}`; there are: {}", names())))
        }
        None => config.servers.keys().next().cloned().ok_or_else(|| {
            CommandError::Usage("no server is named; set DATABASE_URL=postgresql://…".to_owned())
        }),
    }
}

/// The expected indexes; `None` when no file is named.
fn catalogue(config: &Config, arguments: &Arguments) -> Result<Option<Catalogue>, CommandError> {
    let usual = PathBuf::from(USUAL_CATALOGUE);
    let named = arguments.catalogue.as_ref().or(config.indexes.catalogue.as_ref());
    let file = named.or(Some(&usual).filter(|path| path.is_file()));
    match file {
        Some(file) => Catalogue::read(file).map(Some).map_err(|error| CommandError::usage(&error)),
        None if arguments.apply => Err(CommandError::Usage(NO_CATALOGUE.to_owned())),
        None => Ok(None),
    }
}

async fn compare_with(
    database: &Database,
    catalogue: &Catalogue,
) -> Result<Comparison, CommandError> {
    let connection = database.acquire().await;
    let mut connection = connection.map_err(|error| CommandError::other(&error))?;
    let inventory = Inventory::read(&mut connection).await;
    Ok(compare(catalogue, &inventory.map_err(|error| CommandError::other(&error))?))
}

/// Creates what is missing; what cannot be created is said and hinders no other.
async fn apply(
    database: &Arc<Database>,
    access: Access,
    before: &Comparison,
    format: OutputFormat,
) -> Result<(), CommandError> {
    let wanted: Vec<&ExpectedIndex> =
        before.expected.iter().filter(|(_, state)| to_build(state)).map(|(e, _)| e).collect();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(forward_signals(stop));
    let progress = std::cell::RefCell::new(Progress::new(wanted.len(), format));
    let mut show = |phase: &_| progress.borrow_mut().show(phase);
    let mut builder = Builder::new(Arc::clone(database), access, stopped.clone(), &mut show);
    for expected in wanted {
        if *stopped.borrow() {
            break;
        }
        progress.borrow_mut().begin(expected);
        match builder.build(expected).await {
            Ok(Outcome::Already) => progress.borrow_mut().end(expected, "is there"),
            Ok(Outcome::Built) => progress.borrow_mut().end(expected, "built"),
            Ok(Outcome::Rebuilt) => progress.borrow_mut().end(expected, "dropped and rebuilt"),
            Err(error) => progress.borrow_mut().fail(expected, &chain(&error)),
        }
    }
    builder.close().await;
    if *stopped.borrow() { Err(CommandError::AlreadyReported) } else { Ok(()) }
}

/// Returns whether building it can help. An index that another session builds is waited for.
fn to_build(state: &State) -> bool {
    matches!(state, State::Missing | State::Invalid | State::Building)
}

/// The first signal ends what is under way properly, the second at once.
async fn forward_signals(stop: watch::Sender<bool>) {
    let listen = |kind| signal(kind).expect("signals can be listened for inside the runtime");
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.send_replace(true) {
            std::process::exit(1);
        }
    }
}

fn shown(comparison: &Comparison, plans: &Plans, arguments: &Arguments) -> String {
    match arguments.format {
        OutputFormat::Json => page::json(comparison, plans),
        OutputFormat::Text => page::text(comparison, plans, std::io::stdout().is_terminal()),
    }
}
