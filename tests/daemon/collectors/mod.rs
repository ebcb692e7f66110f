//! Every collector against a real server of each supported version.
#![allow(clippy::unwrap_used, reason = "a test ends at what goes wrong")]

mod busy_servers;
mod client_sessions;
mod compatibility;
mod exporter;
mod extensions;
mod hardship;
mod newer;
mod prepared;
pub(crate) mod servers;
mod shared_objects;
mod sizes;
mod sources;
mod statements;
mod truth;
mod unusual_servers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use poolwatch::collectors::{self, Collector, Table};
use poolwatch::metric::Family;
use poolwatch::postgres::{self, Database};
use poolwatch::sources::collector::{CollectorReader, Settings};

use busy_servers::BusyServers;
pub(crate) use busy_servers::replica_of;

/// What a version has a view for and does not show here: what, from and before which version, why.
const ABSENT: &[(&str, u32, u32, &str)] = &[
    (
        "pg_stat_database_checksum_failures_total",
        0,
        18,
        "the test's servers have no checksums, which 18 switches on by itself",
    ),
    (
        "pg_stat_progress_vacuum_max_dead_tuples",
        17,
        u32::MAX,
        "17 limits the memory for dead rows in bytes",
    ),
];

/// A database as the daemon opens it.
pub(crate) fn database(url: &str) -> Arc<Database> {
    let settings =
        postgres::Settings { url: url.to_owned().into(), ..postgres::Settings::default() };
    settings.open("primary").unwrap()
}

/// A server of each supported version, with the folder of its programs.
pub(crate) fn servers() -> &'static [(u32, PathBuf)] {
    servers::all()
}

/// Any `psql`.
pub(crate) fn psql() -> PathBuf {
    servers::all()[0].1.join("psql")
}

/// What one collector says, and what it complains of.
pub(crate) async fn read(
    database: &Arc<Database>,
    collector: &'static Collector,
) -> (Vec<Family>, Option<String>) {
    let settings = Settings { include_query: Some(true), ..Settings::default() };
    match CollectorReader::open(Arc::clone(database), collector, settings).read().await {
        Ok(reading) => {
            (reading.families, reading.trouble.map(|trouble| poolwatch::sampler::chain(&*trouble)))
        }
        Err(error) => (Vec::new(), Some(poolwatch::sampler::chain(&*error))),
    }
}

/// Every family with a sample, and every error.
async fn read_all(url: &str) -> (BTreeSet<String>, Vec<String>) {
    let database = database(url);
    let (mut names, mut errors) = (BTreeSet::new(), Vec::new());
    for collector in collectors::ALL {
        let (families, error) = read(&database, collector).await;
        let shown = families.iter().filter(|family| !family.is_empty());
        names.extend(shown.map(|family| family.name().to_owned()));
        errors.extend(error.map(|text| format!("{}: {text}", collector.name)));
    }
    (names, errors)
}

/// The families that a version should have.
fn expected(major: u32) -> BTreeSet<String> {
    let tables = collectors::ALL.iter().flat_map(|collector| collector.tables);
    tables
        .filter(|table| !table.named_by_row)
        .flat_map(|table| {
            let version = version(table, major);
            let has_it = table.queries.iter().any(|query| query.since <= version);
            let columns = table.columns(version).filter(move |_| has_it);
            columns.map(|column| table.family(column))
        })
        .filter(|family| !is_absent(family, major))
        .collect()
}

fn is_absent(family: &str, major: u32) -> bool {
    let mut absent = ABSENT.iter().filter(|(name, ..)| *name == family);
    absent.any(|(_, from, before, _)| (*from..*before).contains(&major))
}

/// What a table goes by: the extensions have these versions in these servers.
fn version(table: &Table, major: u32) -> u32 {
    match (table.extension, major) {
        (None, _) => major,
        (Some("pg_buffercache"), ..16) => 103,
        (Some("pg_buffercache"), _) => 104,
        (Some(_), 13) => 108,
        (Some(_), 14) => 109,
        (Some(_), 15 | 16) => 110,
        (Some(_), 17) => 111,
        (Some(_), 18) => 112,
        (Some(_), _) => 113,
    }
}

/// What is wrong with one version.
async fn losses(major: u32, binaries: &Path) -> Vec<String> {
    let busy = BusyServers::start(binaries, major);
    let (mut names, mut wrong) = read_all(&busy.primary.url("app")).await;
    let (on_replica, more) = read_all(&busy.replica.url("app")).await;
    names.extend(on_replica);
    wrong.extend(more.into_iter().map(|error| format!("on a replica: {error}")));
    let expected = expected(major);
    wrong.extend(expected.difference(&names).map(|family| format!("no {family}")));
    if !names.contains("pg_settings_max_connections") {
        wrong.push("no pg_settings_max_connections".to_owned());
    }
    // At once, for both wait more than they work.
    let (missing, unanswered) = thread::scope(|scope| {
        let missing = scope.spawn(|| exporter::missing(&busy));
        let unanswered = compatibility::unanswered(&busy.primary.url("app"));
        (missing.join().unwrap(), unanswered)
    });
    wrong.extend(missing);
    wrong.extend(unanswered.into_iter().map(|expression| format!("not as listed: {expression}")));
    wrong.into_iter().map(|what| format!("PostgreSQL {major}: {what}")).collect()
}

#[tokio::test]
async fn no_version_loses_a_family_or_a_dashboard() {
    let mut wrong = Vec::new();
    for (major, binaries) in servers::all() {
        wrong.extend(losses(*major, binaries).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
