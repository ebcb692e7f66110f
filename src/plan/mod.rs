//! From the settings to the sources: what is to be read. A reload makes a new plan, and what is the
//! same in both stays.

mod pools;
mod server;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::postgres::{self, Database, resting};
use crate::sources::own_connections::OwnConnections;
use crate::sources::{Failure, Source};
use crate::yaml::Path;

pub(crate) use spec::{SourceIdentity, SourceSettings, SourceSpec};

/// The source that reads the workers' socket.
pub(crate) const WORKERS: &str = "workers";

/// Everything that is to be read, not yet opened.
pub(crate) struct Plan {
    /// The servers, in the order of their names.
    pub servers: Vec<MonitoredServer>,
    /// Everything that is read of them and beside them.
    pub sources: Vec<SourceSpec>,
}

/// A server that is monitored. It is opened, which connects to nothing.
#[derive(Clone)]
pub(crate) struct MonitoredServer {
    /// Its name in the settings.
    pub name: String,
    settings: postgres::Settings,
    /// The time that a connection of its leader may rest; zero where none is elected.
    resting: Duration,
    /// It.
    pub database: Arc<Database>,
}

/// The reason why a plan cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Error {
    /// The setting that is to blame.
    pub setting: Path,
    /// The reason.
    #[source]
    pub reason: Failure,
}

impl Plan {
    /// A plan of new servers.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Self::after(config, &[])
    }

    /// A plan that keeps each server that is there already with the same settings, and with it the
    /// connections it holds.
    pub(crate) fn after(config: &Config, running: &[MonitoredServer]) -> Result<Self, Error> {
        let servers = config
            .servers
            .iter()
            .map(|(name, settings)| MonitoredServer::open(config, name, settings, running))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sources = Vec::new();
        for server in &servers {
            sources.extend(server::sources(config, &server.database));
            sources.push(server::indexes(config, &server.database)?);
        }
        sources.extend(server::log(config, &servers));
        sources.extend(
            config
                .pools
                .iter()
                .filter_map(|(name, pool)| pools::source(config.sampling.pools, name, pool)),
        );
        if config.workers.enabled {
            sources.push(workers(config));
        }
        if !servers.is_empty() {
            sources.push(own_connections(config, &servers));
        }
        Ok(Self { servers, sources })
    }

    /// The servers as they are asked.
    pub(crate) fn databases(&self) -> Vec<Arc<Database>> {
        self.servers.iter().map(|server| Arc::clone(&server.database)).collect()
    }
}

impl MonitoredServer {
    fn open(
        config: &Config,
        name: &str,
        settings: &postgres::Settings,
        running: &[Self],
    ) -> Result<Self, Error> {
        let is_elected = settings.leader_election;
        let resting =
            if is_elected { resting(config.sampling.activity) } else { Duration::default() };
        let same = |server: &&Self| {
            server.name == name && server.settings == *settings && server.resting == resting
        };
        if let Some(server) = running.iter().find(same) {
            return Ok(server.clone());
        }
        // Of its own name, or of one that is no more there: it was renamed.
        let mut predecessors: Vec<_> = running
            .iter()
            .filter(|server| server.name == name || !config.servers.contains_key(&server.name))
            .collect();
        predecessors.sort_by_key(|server| server.name != name);
        let predecessors: Vec<_> = predecessors.iter().map(|server| &*server.database).collect();
        let database = settings.open_after(name, resting, &predecessors).map_err(|error| {
            Error { setting: Path::from_iter(["servers", name, "url"]), reason: error.into() }
        })?;
        Ok(Self { name: name.to_owned(), settings: settings.clone(), resting, database })
    }
}

fn workers(config: &Config) -> SourceSpec {
    let settings = config.workers.clone();
    let open = move || Ok(Source::Workers(settings.open()?.into()));
    let section = Path::from_iter([WORKERS]);
    SourceSpec::new(WORKERS, section, config.sampling.pools, config.workers.clone(), open)
}

fn own_connections(config: &Config, servers: &[MonitoredServer]) -> SourceSpec {
    let settings: Vec<_> =
        servers.iter().map(|server| (server.name.clone(), server.settings.clone())).collect();
    let pools: Vec<_> = servers
        .iter()
        .map(|server| (server.name.clone(), server.database.pool().clone()))
        .collect();
    let open = move || Ok(Source::OwnConnections(OwnConnections::new(pools)));
    let section = Path::from_iter(["servers"]);
    SourceSpec::new("own_connections", section, config.sampling.pools, settings, open)
}
