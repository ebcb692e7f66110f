//! The sources of one server, and of its log.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, MonitoredServer, SourceSpec, pools};
use crate::collectors::{self, Collector, Reader, Scope};
use crate::config::Config;
use crate::indexes::Catalogue;
use crate::postgres::Database;
use crate::sources::{
    Failure, Source, activity, client_sessions, collector, conditions, database_sizes, indexes,
    lock_queues, other_databases,
};
use crate::sources::{probe, server_cpu, statements, wait_events};
use crate::yaml::Path;

/// The group of everything that is read in each database, so that families of one name are joined.
const DATABASES: &str = "databases";

/// The longest time between two probes of a server with an elected leader.
const LEADER_INTERVAL: Duration = Duration::from_secs(1);

/// The number of intervals of `sampling.activity` between two readings of each session.
const SESSION_OWNERS: u32 = 3;

/// The probe, the sessions, and the collectors that are switched on.
pub(super) fn sources(config: &Config, server: &Arc<Database>) -> Vec<SourceSpec> {
    let inferred = pools::inferred(config, server.name());
    let activity = config.sampling.activity;
    let mut specs = vec![
        spec("probe", server, probe_interval(server, activity), (), |server| {
            Ok(Source::Probe(probe::Probe::open(server)))
        }),
        spec("activity", server, activity, inferred.clone(), |server| {
            Ok(Source::Activity(activity::Activity::open(server, inferred)))
        }),
        spec("conditions", server, config.sampling.server, (), |server| {
            Ok(Source::Conditions(conditions::ConditionReader::open(server)))
        }),
        spec("lock_queues", server, activity, (), |server| {
            Ok(Source::LockQueues(lock_queues::LockQueues::open(server)))
        }),
    ];
    if config.workers.enabled && is_enabled_by_name(config, "client_sessions") {
        specs.push(spec("session_owners", server, SESSION_OWNERS * activity, (), |server| {
            Ok(Source::ClientSessions(client_sessions::ClientSessionReader::open(server)))
        }));
    }
    let enabled = collectors::ALL.iter().filter(|collector| is_enabled(config, collector));
    specs.extend(enabled.map(|collector| collector_source(config, server, collector)));
    specs
}

/// The time between two probes: a leader tells the server that it is there, however rarely it reads.
fn probe_interval(server: &Database, activity: Duration) -> Duration {
    if server.leads().is_some() { activity.min(LEADER_INTERVAL) } else { activity }
}

fn spec<S: super::SourceSettings>(
    name: &str,
    server: &Arc<Database>,
    interval: Duration,
    settings: S,
    open: impl FnOnce(Arc<Database>) -> Result<Source, Failure> + Send + 'static,
) -> SourceSpec {
    let section = Path::from_iter(["servers", server.name()]);
    let asked = Arc::clone(server);
    SourceSpec::new(name, section, interval, settings, move || open(asked)).for_server(server)
}

fn collector_source(
    config: &Config,
    server: &Arc<Database>,
    collector: &'static Collector,
) -> SourceSpec {
    let (settings, interval) = chosen(config, collector);
    let name = collector.name;
    let spec = match collector.reader {
        Reader::WaitEvents => spec(name, server, interval, settings, |server| {
            Ok(Source::WaitEvents(wait_events::WaitEvents::open(server)))
        }),
        Reader::DatabaseSizes => spec(name, server, interval, settings, |server| {
            Ok(Source::DatabaseSizes(database_sizes::DatabaseSizes::open(server)))
        }),
        Reader::ServerCpu => spec(name, server, interval, settings, |server| {
            Ok(Source::ServerCpu(server_cpu::ServerCpu::open(server)))
        }),
        Reader::Statements => {
            let excluded = excluded(config);
            let limit = settings.limit.unwrap_or(0);
            spec(name, server, interval, (settings, excluded.clone()), move |server| {
                let source = statements::Statements::open(server, excluded, limit);
                Ok(Source::Statements(source.into()))
            })
        }
        Reader::OtherDatabases => {
            let wanted = wanted_in_other_databases(config);
            let each =
                wanted.iter().map(|one| (one.collector.name, one.settings.clone(), one.interval));
            let compared = (settings, each.collect::<Vec<_>>());
            spec(name, server, interval, compared, |server| {
                Ok(Source::OtherDatabases(other_databases::OtherDatabases::open(server, wanted)))
            })
        }
        Reader::Tables => spec(name, server, interval, settings.clone(), move |server| {
            Ok(Source::Collector(collector::CollectorReader::open(server, collector, settings)))
        }),
    };
    let is_joined =
        collector.scope == Scope::Database || collector.reader == Reader::OtherDatabases;
    if is_joined { spec.in_group(DATABASES) } else { spec }
}

/// Whose statements the operator leaves out.
fn excluded(config: &Config) -> statements::Excluded {
    let settings = config.collectors.get(Collector::STATEMENTS).cloned().unwrap_or_default();
    statements::Excluded { databases: settings.exclude_databases, users: settings.exclude_users }
}

/// The settings of a collector, and how often it is read.
fn chosen(config: &Config, collector: &Collector) -> (collector::Settings, Duration) {
    let settings = config.collectors.get(collector.name).cloned().unwrap_or_default();
    let interval = settings.interval.unwrap_or(config.sampling.interval(collector.pace));
    (settings, interval)
}

/// The collectors that say something else in each database.
fn wanted_in_other_databases(config: &Config) -> Vec<other_databases::VisitedCollector> {
    let of_each = collectors::ALL.iter().filter(|collector| collector.scope == Scope::Database);
    let enabled = of_each.filter(|collector| is_enabled(config, collector));
    enabled
        .map(|collector| {
            let (settings, interval) = chosen(config, collector);
            other_databases::VisitedCollector { collector, settings, interval }
        })
        .collect()
}

fn is_enabled_by_name(config: &Config, name: &str) -> bool {
    Collector::named(name).is_some_and(|collector| is_enabled(config, collector))
}

/// As the settings say; else as those say of the collector it is a part of; else by default.
fn is_enabled(config: &Config, collector: &Collector) -> bool {
    let set = |name: &str| config.collectors.get(name).and_then(|chosen| chosen.enabled);
    set(collector.name).or_else(|| collector.part_of.and_then(set)).unwrap_or(collector.enabled)
}

/// The indexes of a server's database; the one that the catalogue is for has expected ones.
pub(super) fn indexes(config: &Config, server: &Arc<Database>) -> Result<SourceSpec, Error> {
    let settings = &config.indexes;
    let meant = settings.server.as_ref().or(config.servers.keys().next());
    let is_meant = meant.is_some_and(|name| name == server.name());
    let file = settings.catalogue.as_ref().filter(|_| is_meant);
    let setting = Path::from_iter(["indexes", "catalogue"]);
    let catalogue = file.map(|file| Catalogue::read(file)).transpose();
    let catalogue = catalogue.map_err(|error| Error { setting, reason: error.into() })?;
    let catalogue = catalogue.unwrap_or_default();
    // Twice as often as tables, so that a missing index is reported within a minute.
    let interval = config.sampling.tables / 2;
    Ok(spec("index_catalogue", server, interval, catalogue.clone(), |server| {
        Ok(Source::Indexes(indexes::IndexReader::open(server, catalogue).into()))
    }))
}

/// The log of the server that the settings name for it, if there is one.
pub(super) fn log(config: &Config, servers: &[MonitoredServer]) -> Option<SourceSpec> {
    let settings = config.logs.clone();
    if !settings.is_set() {
        return None;
    }
    let server = match &settings.server {
        Some(name) => servers.iter().find(|server| server.name == *name),
        None => servers.first(),
    };
    // One log of one server shares its families with nobody: the label would be left out.
    let label = server.filter(|_| servers.len() > 1).map(|server| server.name.clone());
    let database = server.map(|server| Arc::clone(&server.database));
    let (compared, asked) = ((settings.clone(), label.clone()), database.clone());
    let open = move || Ok(Source::ServerLog(settings.open(asked, label)?.into()));
    let section = Path::from_iter(["logs"]);
    let spec = SourceSpec::new("server_log", section, config.sampling.activity, compared, open);
    let own = server.map(|server| ("server", server.name.clone()));
    Some(spec.asking(database.as_ref()).with_label(own))
}
