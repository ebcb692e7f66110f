//! What the settings say is to be read, each thing with a fingerprint by which a reload tells
//! what has changed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::collectors::{self, Collector, DATABASE_SIZE, OTHER_DATABASES, SERVER_CPU};
use crate::collectors::{STATEMENT_DURATIONS, Scope, WAIT_EVENTS};
use crate::config::{Config, Pool};
use crate::indexes::Catalogue;
use crate::postgres::{self, Database};
use crate::sampler::chain;
use crate::sources::{Failure, Source, Watch, activity, app_health, collector};
use crate::sources::{database_sizes, elsewhere, indexes, pgbouncer, probe, server_cpu};
use crate::sources::{own_connections, server_log, statements, wait_events, workers};
use crate::yaml::Path;
use poolwatch_client::SharedPool;

/// The pool that is inferred when the settings name none.
const INFERRED: &str = "app";

/// What reads the workers' socket.
pub(super) const WORKERS: &str = "workers";

/// Everything that is to be read, not yet opened.
pub(super) struct Plan {
    /// The databases, opened: opening connects to nothing.
    pub(super) databases: Vec<Arc<Database>>,
    /// What is read of them and of everything else.
    pub(super) entries: Vec<Entry>,
}

/// One thing to be read.
pub(super) struct Entry {
    pub(super) name: String,
    /// Differs when the settings of it do.
    pub(super) fingerprint: u64,
    group: String,
    label: Option<(&'static str, String)>,
    database: Option<String>,
    pub(super) interval: Duration,
    kind: Kind,
}

enum Kind {
    Probe(Arc<Database>),
    Activity(Arc<Database>, Vec<(String, activity::Settings)>),
    Collector(Arc<Database>, &'static Collector, collector::Settings),
    DatabaseSizes(Arc<Database>),
    Elsewhere(Arc<Database>, Vec<elsewhere::Wanted>),
    Statements(Arc<Database>, statements::Excluded),
    WaitEvents(Arc<Database>),
    ServerCpu(Arc<Database>),
    ServerLog(Option<Arc<Database>>, Option<String>, server_log::Settings),
    Indexes(Arc<Database>, Catalogue),
    AppHealth(String, app_health::Settings),
    Pgbouncer(String, pgbouncer::Settings),
    Workers(workers::Settings),
    OwnConnections(Vec<(String, SharedPool)>),
}

impl Plan {
    /// What the settings say, all databases new.
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        Self::after(config, &HashMap::new())
    }

    /// What the settings say; a database that is there already with the same settings stays, and
    /// with it the connections it holds.
    pub(super) fn after(
        config: &Config,
        known: &HashMap<u64, Arc<Database>>,
    ) -> Result<Self, Failure> {
        let mut databases = BTreeMap::new();
        for (name, settings) in &config.databases {
            let database = match known.get(&of_database(name, settings)) {
                Some(known) => Arc::clone(known),
                None => settings.open(name)?,
            };
            databases.insert(name.clone(), database);
        }
        let mut entries = Vec::new();
        for (name, database) in &databases {
            entries.extend(of_server(config, name, database));
            entries.push(index_catalogue(config, name, database)?);
        }
        entries.extend(server_log(config, &databases));
        entries.extend(config.pools.iter().filter_map(|(name, pool)| of_pool(config, name, pool)));
        if config.workers.enabled {
            entries.push(entry(WORKERS, None, config.sampling.pools, &config.workers, {
                Kind::Workers(config.workers.clone())
            }));
        }
        if !databases.is_empty() {
            let own =
                databases.iter().map(|(name, database)| (name.clone(), database.pool().clone()));
            let own = Kind::OwnConnections(own.collect());
            let names: Vec<_> = config.databases.keys().collect();
            entries.push(entry("own_connections", None, config.sampling.pools, &names, own));
        }
        let databases: Vec<_> = databases.into_values().collect();
        Ok(Self { databases, entries })
    }
}

/// By what a database is known again after a reload.
pub(super) fn of_database(name: &str, settings: &postgres::Settings) -> u64 {
    hash(&(name, settings))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn entry(
    name: &str,
    database: Option<(&str, u64)>,
    interval: Duration,
    settings: &impl Hash,
    kind: Kind,
) -> Entry {
    let group = match database {
        Some((database, _)) => name.strip_prefix(&format!("{database}/")).unwrap_or(name),
        None => name,
    };
    Entry {
        fingerprint: hash(&(name, database, interval, settings)),
        group: group.to_owned(),
        label: database.map(|(database, _)| ("server", database.to_owned())),
        name: name.to_owned(),
        database: database.map(|(database, _)| database.to_owned()),
        interval,
        kind,
    }
}

/// What is read of one server.
fn of_server(config: &Config, name: &str, database: &Arc<Database>) -> Vec<Entry> {
    let settings = &config.databases[name];
    let identity = Some((name, of_database(name, settings)));
    let pools = inferred_pools(config, name);
    let activity = config.sampling.activity;
    let mut entries = vec![
        entry(&format!("{name}/probe"), identity, activity, &(), Kind::Probe(database.clone())),
        entry(&format!("{name}/activity"), identity, activity, &pools.clone(), {
            Kind::Activity(database.clone(), pools)
        }),
    ];
    let enabled = collectors::ALL.iter().filter(|collector| is_enabled(config, collector));
    entries
        .extend(enabled.map(|collector| of_collector(config, name, identity, database, collector)));
    entries
}

/// The group of everything that is read in each database, so that families of one name are joined.
const DATABASES: &str = "databases";

fn of_collector(
    config: &Config,
    name: &str,
    identity: Option<(&str, u64)>,
    database: &Arc<Database>,
    collector: &'static Collector,
) -> Entry {
    let (settings, interval) = chosen(config, collector);
    let database = database.clone();
    let fingerprint = format!("{settings:?}");
    let (kind, fingerprint) = match collector.name {
        of if of == WAIT_EVENTS.name => (Kind::WaitEvents(database), fingerprint),
        of if of == DATABASE_SIZE.name => (Kind::DatabaseSizes(database), fingerprint),
        of if of == SERVER_CPU.name => (Kind::ServerCpu(database), fingerprint),
        of if of == STATEMENT_DURATIONS.name => {
            let excluded = excluded(config);
            let fingerprint = format!("{fingerprint} {excluded:?}");
            (Kind::Statements(database, excluded), fingerprint)
        }
        of if of == OTHER_DATABASES.name => {
            let wanted = wanted_elsewhere(config);
            let fingerprint = format!("{fingerprint} {wanted:?}");
            (Kind::Elsewhere(database, wanted), fingerprint)
        }
        _ => (Kind::Collector(database, collector, settings), fingerprint),
    };
    let source = format!("{name}/{}", collector.name);
    let mut entry = entry(&source, identity, interval, &fingerprint, kind);
    if collector.scope == Scope::Database || collector.name == OTHER_DATABASES.name {
        DATABASES.clone_into(&mut entry.group);
    }
    entry
}

/// Whose statements the operator leaves out.
fn excluded(config: &Config) -> statements::Excluded {
    let settings = config.collectors.get(Collector::STATEMENTS).cloned().unwrap_or_default();
    statements::Excluded { databases: settings.exclude_databases, users: settings.exclude_users }
}

/// What the operator says of a collector, and how often it is read.
fn chosen(config: &Config, collector: &Collector) -> (collector::Settings, Duration) {
    let settings = config.collectors.get(collector.name).cloned().unwrap_or_default();
    let interval = settings.interval.unwrap_or(config.sampling.interval(collector.pace));
    (settings, interval)
}

/// The collectors that say something else in each database.
fn wanted_elsewhere(config: &Config) -> Vec<elsewhere::Wanted> {
    let of_each = collectors::ALL.iter().filter(|collector| collector.scope == Scope::Database);
    let enabled = of_each.filter(|collector| is_enabled(config, collector));
    enabled
        .map(|collector| {
            let (settings, interval) = chosen(config, collector);
            elsewhere::Wanted { collector, settings, interval }
        })
        .collect()
}

/// As the settings say; else as those say of the collector it is a part of; else by default.
fn is_enabled(config: &Config, collector: &Collector) -> bool {
    let said = |name: &str| config.collectors.get(name).and_then(|chosen| chosen.enabled);
    said(collector.name).or_else(|| collector.part_of.and_then(said)).unwrap_or(collector.enabled)
}

/// The indexes of a database, of which the one that the catalogue is for has expected ones.
fn index_catalogue(
    config: &Config,
    name: &str,
    database: &Arc<Database>,
) -> Result<Entry, Failure> {
    let meant = config.indexes.database.as_ref().or(config.databases.keys().next());
    let file = config.indexes.catalogue.as_ref().filter(|_| meant.is_some_and(|of| of == name));
    let catalogue = file.map(|file| Catalogue::read(file)).transpose()?.unwrap_or_default();
    let identity = Some((name, of_database(name, &config.databases[name])));
    let source = format!("{name}/index_catalogue");
    // Twice as often as tables, so that what went missing is told within a minute.
    let interval = config.sampling.tables / 2;
    Ok(entry(&source, identity, interval, &catalogue.clone(), {
        Kind::Indexes(database.clone(), catalogue)
    }))
}

/// The log of the server that it is said to be of, if there is one.
fn server_log(config: &Config, databases: &BTreeMap<String, Arc<Database>>) -> Option<Entry> {
    let settings = &config.logs;
    settings.path.as_ref()?;
    let name = settings.database.as_ref().or(databases.keys().next());
    let identity = name.map(|name| (name.as_str(), of_database(name, &config.databases[name])));
    let database = name.map(|name| Arc::clone(&databases[name]));
    // One log of one server shares its families with nobody: the label would be left out.
    let label = name.filter(|_| databases.len() > 1).cloned();
    let interval = config.sampling.activity;
    Some(entry("server_log", identity, interval, &(settings, &label), {
        Kind::ServerLog(database, label.clone(), settings.clone())
    }))
}

/// The pools inferred from a server's sessions: those the settings name, or, when they name none
/// at all, one of all sessions.
fn inferred_pools(config: &Config, database: &str) -> Vec<(String, activity::Settings)> {
    let first = config.databases.keys().next().is_some_and(|first| first == database);
    if config.pools.is_empty() && first {
        let settings =
            activity::Settings { database: database.to_owned(), ..activity::Settings::default() };
        return vec![(INFERRED.to_owned(), settings)];
    }
    config
        .pools
        .iter()
        .filter_map(|(name, pool)| match pool {
            Pool::Activity(settings) => Some((name.clone(), settings.clone())),
            _ => None,
        })
        .filter(|(_, settings)| settings.database == database)
        .collect()
}

fn of_pool(config: &Config, name: &str, pool: &Pool) -> Option<Entry> {
    let interval = config.sampling.pools;
    let source = format!("pool/{name}");
    match pool {
        Pool::AppHealth(settings) => {
            let kind = Kind::AppHealth(name.to_owned(), settings.clone());
            let entry = entry(&source, None, interval, settings, kind);
            Some(Entry { group: "app_health".to_owned(), ..entry })
        }
        Pool::Pgbouncer(settings) => {
            let kind = Kind::Pgbouncer(name.to_owned(), settings.clone());
            Some(Entry {
                group: "pgbouncer".to_owned(),
                label: Some(("pgbouncer", name.to_owned())),
                ..entry(&source, None, interval, settings, kind)
            })
        }
        Pool::Workers(_) | Pool::Activity(_) => None,
    }
}

impl Entry {
    /// What it says of the workers' socket, when that is what it is.
    pub(super) fn workers(&self) -> Option<&workers::Settings> {
        match &self.kind {
            Kind::Workers(settings) => Some(settings),
            _ => None,
        }
    }

    /// The section of the settings that it comes from.
    pub(super) fn section(&self) -> Path {
        let keys = match (&self.kind, &self.database) {
            (Kind::AppHealth(name, _) | Kind::Pgbouncer(name, _), _) => vec!["pools", name],
            (Kind::Workers(_), _) => vec![WORKERS],
            (Kind::ServerLog(..), _) => vec!["logs"],
            (Kind::Indexes(..), _) => vec!["indexes", "catalogue"],
            (_, Some(database)) => vec!["databases", database],
            (_, None) => vec!["databases"],
        };
        keys.into_iter().collect()
    }

    /// Finds what [`Entry::open`] would complain of, without a socket.
    pub(super) fn check(self) -> Result<(), Failure> {
        let name = self.name.clone();
        let found = match self.workers() {
            Some(settings) => settings.check().map_err(Failure::from),
            None => self.open().map(drop),
        };
        found.map_err(|error| format!("{name}: {}", chain(&*error)).into())
    }

    /// Opens it: a socket that is taken or an address that makes no sense fails here.
    pub(super) fn open(self) -> Result<Watch, Failure> {
        let source = match self.kind {
            Kind::Probe(database) => Source::Probe(probe::Probe::open(database)),
            Kind::Activity(database, pools) => {
                Source::Activity(activity::Activity::open(database, pools))
            }
            Kind::Collector(database, collector, settings) => {
                Source::Collector(collector::Reader::open(database, collector, settings))
            }
            Kind::DatabaseSizes(database) => {
                Source::DatabaseSizes(database_sizes::DatabaseSizes::open(database))
            }
            Kind::Elsewhere(database, wanted) => {
                Source::Elsewhere(elsewhere::Elsewhere::open(database, wanted))
            }
            Kind::Statements(database, excluded) => {
                Source::Statements(statements::Statements::open(database, excluded).into())
            }
            Kind::WaitEvents(database) => {
                Source::WaitEvents(wait_events::WaitEvents::open(database))
            }
            Kind::ServerCpu(database) => Source::ServerCpu(server_cpu::ServerCpu::open(database)),
            Kind::ServerLog(database, label, settings) => {
                Source::ServerLog(settings.open(database, label)?.into())
            }
            Kind::Indexes(database, catalogue) => {
                Source::Indexes(indexes::IndexReader::open(database, catalogue).into())
            }
            Kind::AppHealth(name, settings) => Source::AppHealth(settings.open(&name)?.into()),
            Kind::Pgbouncer(name, settings) => Source::Pgbouncer(settings.open(&name)?.into()),
            Kind::Workers(settings) => Source::Workers(settings.open()?.into()),
            Kind::OwnConnections(pools) => {
                Source::OwnConnections(own_connections::OwnConnections::new(pools))
            }
        };
        Ok(Watch {
            name: self.name,
            group: self.group,
            label: self.label,
            database: self.database,
            interval: self.interval,
            source,
        })
    }
}
