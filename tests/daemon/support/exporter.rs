//! `postgres_exporter`, and what poolwatch lacks of what it shows. Every exception is one that
//! docs/compatibility.md tells of, or of a version before the 0.20.1 that poolwatch follows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use poolwatch::collectors::{ALL, Pace};
use poolwatch::demo::ChildProcess;

use super::{
    Daemon, Metrics, Output, Series, eventually, free_port, programs, try_request, version,
};

/// How long something may be missing.
const PATIENCE: Duration = Duration::from_mins(3);

/// Families that are not here: of which version, whose names begin so, and why.
const NOT_HERE: &[(&str, &str, &str)] = &[
    ("", "pg_exporter_scrapes_total", "of the exporter itself"),
    ("", "pg_settings_extra_float_digits", "of the exporter's own session: its driver sets it"),
    ("0.11", "pg_scrape_collector_", "0.20.1 has other names of collectors, as here"),
    // A column it did not know was shown untyped under its own name; 0.20.1 shows those it knows.
    ("0.11", "pg_stat_database_active_time", "gone: pg_stat_database_active_time_seconds_total"),
    ("0.11", "pg_stat_database_checksum_failures", "gone; here with _total"),
    ("0.11", "pg_stat_database_checksum_last_failure", "gone"),
    ("0.11", "pg_stat_database_idle_in_transaction_time", "gone; here in seconds, with _total"),
    ("0.11", "pg_stat_database_parallel_workers_", "gone; here with _total"),
    ("0.11", "pg_stat_database_session", "gone; here with _total, time in seconds"),
    ("0.17", "pg_replication_slot_", "0.20 has pg_replication_slots_, as here"),
    ("0.17", "pg_stat_user_tables_size_bytes", "0.18 has the table's size and its indexes' apart"),
    ("0.19", "pg_replication_slot_", "0.20 has pg_replication_slots_, as here"),
    ("0.19", "pg_stat_replication_reply_time", "a column it did not know; gone"),
];

/// Collectors that are not here in `pg_scrape_collector_*`.
const NO_COLLECTORS: [(&str, &str); 2] = [
    ("replication_slot", "0.20 has replication_slots, as here"),
    ("xlog_location", "of PostgreSQL 9: nothing is read"),
];

/// Where a NULL is shown as 0 there, and is absent here.
const NULL_IS_ZERO: &[&str] = &[
    "pg_replication_last_replay_seconds",
    "pg_stat_database_stats_reset",
    "pg_stat_user_tables_idx_",
    "pg_stat_user_tables_last_",
    "pg_statio_user_tables_idx_",
    "pg_statio_user_tables_tidx_",
    "pg_statio_user_tables_toast_",
    // A partitioned table has none; its partitions do.
    "pg_stat_user_tables_index_size_bytes",
    "pg_stat_user_tables_table_size_bytes",
];

/// What is otherwise here, or another the next moment.
const MOVING: &[(&str, &str)] = &[
    ("pg_exporter_last_scrape_duration_seconds", "takes its time"),
    ("pg_scrape_collector_duration_seconds", "takes its time"),
    ("pg_buffercache_summary_", "the exporter's queries use buffers, poolwatch's do"),
    ("pg_locks_count", "the exporter's sessions hold some"),
    ("pg_long_running_transactions", "the exporter counts its own"),
    ("pg_process_idle_seconds", "time passes, and the exporter counts its own session"),
    ("pg_stat_activity_", "the exporter's sessions are there, poolwatch's are not"),
    ("pg_stat_database_numbackends", "the exporter's sessions come and go"),
];

/// Labels that are not here, or say something else: of which version, of what, which, why.
const LABELS_GONE: &[(&str, &str, &str, &str)] = &[
    ("", "pg_", "server", "0.20.1 has it on pg_static and pg_stat_database_conflicts_* alone"),
    ("", "pg_stat_statements_query_id", "query", "in one line, and without literals here"),
    ("0.19", "pg_stat_replication_", "slot_name", "the number of the process, until 0.20.1"),
];

/// The exporter, as a process. Dropping it ends it.
pub(crate) struct Exporter {
    pub(crate) version: String,
    _process: ChildProcess,
    address: SocketAddr,
}

/// Starts every exporter there is in turn.
pub(crate) fn each(mut test: impl FnMut(&Path)) {
    for program in programs("prometheus-postgres-exporter") {
        test(&program);
    }
}

/// Those of these flags that the exporter knows: each version knows more.
pub(crate) fn known_flags<'a>(program: &Path, flags: &'a [String]) -> Vec<&'a String> {
    let help = help(program);
    let is_known = |flag: &&String| {
        let name = flag.split('=').next().unwrap_or(flag).trim_start_matches("--");
        let positive = name.strip_prefix("no-").unwrap_or(name);
        [format!("--{positive}"), format!("--[no-]{positive}")]
            .iter()
            .any(|flag| help.split_whitespace().any(|word| word.split('=').next() == Some(flag)))
    };
    flags.iter().filter(is_known).collect()
}

/// The same flags for the daemon, with every statement: which hundred an exporter shows that knows no limit is not what
/// is compared.
pub(crate) fn of_daemon(flags: &[String]) -> Vec<String> {
    const LIMIT: &str = "--collector.stat_statements.limit=";
    let limit = Some(format!("{LIMIT}5000"));
    let limit = limit.filter(|_| !flags.iter().any(|flag| flag.starts_with(LIMIT)));
    flags.iter().cloned().chain(limit).collect()
}

fn help(program: &Path) -> String {
    let help = Command::new(program).arg("--help").output().unwrap();
    String::from_utf8([help.stdout, help.stderr].concat()).unwrap()
}

/// Flags that switch every collector on that the exporter has, with statements without number.
pub(crate) fn everything_on(program: &Path) -> Vec<String> {
    let help = help(program);
    let words = help.split_whitespace().filter_map(|word| word.strip_prefix("--collector."));
    words
        .filter_map(|word| match word.split_once('.') {
            None | Some((_, "include_query")) => Some(format!("--collector.{word}")),
            Some((_, "limit=100")) => Some(format!("--collector.{}", word.replace("100", "5000"))),
            _ => None,
        })
        .collect()
}

impl Exporter {
    pub(crate) fn start(
        program: &Path,
        environment: &[(&str, &str)],
        flags: &[impl AsRef<str>],
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.env_clear().envs(environment.iter().copied());
        command.arg(format!("--web.listen-address={address}"));
        command.args(flags.iter().map(AsRef::as_ref));
        let (mut process, output) = Output::of(&mut command);
        eventually(|| {
            assert!(process.ended().unwrap().is_none(), "{}", output.text());
            try_request(address, "GET", "/metrics", &[])
        });
        Self { version: version(program), _process: process, address }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let answer = try_request(self.address, "GET", "/metrics", &[]).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// NULL was NaN; what belongs to no database is shown no more by 0.20.1; and nobody is in a
    /// template. What is the exporter's own, poolwatch's sessions too, is not asked for.
    fn is_wanted(&self, series: &Series) -> bool {
        let label = |name: &str| series.labels.get(name).map_or("", String::as_str);
        let absent = NOT_HERE.iter().any(|(version, name, _)| {
            self.version.starts_with(version) && series.name.starts_with(name)
        });
        let gone = NO_COLLECTORS.iter().any(|(name, _)| label("collector") == *name);
        let nobodys = label("datid") == "0"
            || label("application_name") == "poolwatch"
            || series.name.starts_with("pg_stat_activity_")
                && label("datname").starts_with("template");
        // Until 0.18 the exporter counts the session that counts, of the role that it shares with poolwatch.
        let own = self.version.starts_with("0.17")
            && series.name.starts_with("pg_stat_activity_")
            && (label("usename"), label("state")) == ("watcher", "active");
        series.name.starts_with("pg_")
            && !absent
            && !gone
            && !nobodys
            && !own
            && !series.value.is_nan()
    }

    /// An empty label is as good as none.
    fn labels<'a>(&self, series: &'a Series) -> BTreeMap<&'a str, &'a str> {
        let is_gone = |label: &str| {
            LABELS_GONE.iter().any(|(version, name, gone, _)| {
                self.version.starts_with(version) && series.name.starts_with(name) && label == *gone
            })
        };
        let kept = series.labels.iter().filter(|(name, value)| !value.is_empty() && !is_gone(name));
        kept.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// What it shows and poolwatch does not, or shows otherwise: a family, its kind, a series, and
    /// for a server at rest its value, which must lie between two of its scrapes.
    pub(crate) fn differences(&self, daemon: &Daemon, at_rest: bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.metrics();
            if at_rest {
                wait_for_readings(daemon);
            }
            let ours = daemon.metrics();
            let after = self.metrics();
            let wrong = self.compare(&before, &ours, &after, at_rest);
            // The daemon has not read all yet, or a session came or went meanwhile.
            if wrong.is_empty() || Instant::now() > deadline {
                return wrong;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn compare(
        &self,
        before: &Metrics,
        ours: &Metrics,
        after: &Metrics,
        at_rest: bool,
    ) -> Vec<String> {
        let kinds = ours.kinds();
        let other_kind = before.kinds().into_iter().filter_map(|(name, theirs)| {
            let here = kinds.get(name).filter(|here| theirs != "untyped" && **here != theirs)?;
            Some(format!("{name} is a {here}, not a {theirs}"))
        });
        let wanted = before.series.iter().filter(|series| self.is_wanted(series));
        let wanted = wanted.filter(|series| !is_in_bytes(before, series));
        let other = wanted.filter_map(|series| {
            let then = after
                .series
                .iter()
                .find(|then| (&then.name, &then.labels) == (&series.name, &series.labels))?;
            self.compare_series(series, ours, then, at_rest)
        });
        other_kind.chain(other).collect()
    }

    /// There may be more labels here.
    fn compare_series(
        &self,
        before: &Series,
        ours: &Metrics,
        after: &Series,
        at_rest: bool,
    ) -> Option<String> {
        let name = &before.name;
        let is = |names: &[&str]| names.iter().any(|one| name.starts_with(one));
        let wanted = self.labels(before);
        let pairs: Vec<_> = wanted.iter().map(|(name, value)| (*name, *value)).collect();
        let found: Vec<_> = ours.all(name, &pairs).map(|series| series.value).collect();
        let (least, most) = (before.value.min(after.value), before.value.max(after.value));
        let within =
            |value: &f64| (least - 1e-9 * least.abs()..=most + 1e-9 * most.abs()).contains(value);
        let moving = MOVING.iter().any(|(moving, _)| name.starts_with(moving));
        match &found[..] {
            [] if before.value == 0.0 && is(NULL_IS_ZERO) => None,
            // Without anybody's transaction the oldest is the exporter's own.
            [] if is(&["pg_long_running_transactions_oldest"]) => None,
            [] => Some(format!("lacks {name} {wanted:?}")),
            values if at_rest && !moving && !values.iter().all(within) => {
                Some(format!("{name} {wanted:?} is {values:?}, not {least} to {most}"))
            }
            _ => None,
        }
    }
}

/// From `PostgreSQL` 17 the limit of dead rows there is one of bytes.
fn is_in_bytes(metrics: &Metrics, series: &Series) -> bool {
    let major = |of: &Series| of.labels["short_version"].split('.').next()?.parse::<u32>().ok();
    series.name == "pg_stat_progress_vacuum_max_dead_tuples"
        && metrics.all("pg_static", &[]).filter_map(major).any(|major| major >= 17)
}

/// Until everything that is read every second has been read anew.
fn wait_for_readings(daemon: &Daemon) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let often = ALL.iter().filter(|one| !matches!(one.pace, Pace::Slow | Pace::Sizes));
    let often: Vec<_> = often.map(|one| format!("primary/{}", one.name)).collect();
    eventually(|| {
        let metrics = daemon.metrics();
        let value = |name: &str, source: &str| metrics.value(name, &[("source", source)]);
        often.iter().all(|source| {
            let is_up = value("poolwatch_source_up", source) == Some(1.0);
            let read = value("poolwatch_source_last_success_timestamp_seconds", source);
            !is_up || read.is_some_and(|read| read > now)
        })
    });
}
