//! The metric families of poolwatch itself: its servers, sources, advice, settings and log.

use std::ops::AddAssign;
use std::time::SystemTime;

use crate::advice::Advice;
use crate::collectors;
use crate::latency::Histogram;
use crate::metric::Family;
use crate::reading::SessionFailure;
use crate::state::{DatabaseState, Role, SourceState};

/// The number of samples that were not shown, since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct DroppedSeries {
    /// Those beyond a limit, and those that repeat another, which would fail a whole scrape.
    pub dropped: u64,
    /// Those added up under `other` by a collector that shows only the most active.
    pub aggregated: u64,
}

impl AddAssign for DroppedSeries {
    fn add_assign(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.aggregated += other.aggregated;
    }
}

/// The answers of each server to the probe. With several servers each series names its own.
pub fn databases(databases: &[DatabaseState], probes: &[Histogram]) -> Vec<Family> {
    let mut up = Family::gauge("pg_up", "Whether the server answers: 1 or 0.");
    let mut probe = Family::histogram(
        "db_probe_duration_seconds",
        "poolwatch's own SELECT 1 on a connection it holds.",
    );
    let mut failure = Family::gauge(
        "pg_session_failure",
        "1 for the reason why poolwatch has no session of the server, or a server that answers \
         gives nobody a new one; 0 for every other reason.",
    );
    let mut leader = Family::gauge(
        "poolwatch_leader",
        "1 while this poolwatch is the leader, and so reads the server; 0 while it is not. Only with \
         leader_election; `address` is that of pg_server_info, `datname` the database whose lock elects.",
    );
    let mut info = Family::gauge(
        "pg_server_info",
        "1 for each host and port of the server, to join with those of db_pool_info. `address`, \
         the first of them, is the same in all; system_identifier once it was read.",
    );
    for (database, histogram) in databases.iter().zip(probes) {
        let server = [("server", database.name.as_str())];
        let labels = if databases.len() > 1 { &server[..] } else { &[] };
        let first = database.places.first();
        let address =
            first.map(|first| format!("{}:{}", first.host, first.port)).unwrap_or_default();
        let mut of_leader = labels.to_vec();
        of_leader.extend([("address", address.as_str()), ("datname", database.datname.as_str())]);
        leader.sample(&of_leader, database.leads.map(|leads| f64::from(u8::from(leads))));
        if database.is_not_led() {
            continue;
        }
        up.sample(labels, database.up.map(|up| f64::from(u8::from(up))));
        if database.leads != Some(false) {
            probe.durations(labels, histogram);
        }
        for reason in SessionFailure::ALL.iter().filter(|_| database.up.is_some()) {
            let is_reason = database.session_failure == Some(*reason);
            let mut labels = labels.to_vec();
            labels.push(("reason", reason.as_str()));
            failure.sample(&labels, f64::from(u8::from(is_reason)));
        }
        for place in &database.places {
            let port = place.port.to_string();
            let mut labels = labels.to_vec();
            labels.extend([("address", address.as_str()), ("host", &place.host), ("port", &port)]);
            let identifier = database.system_identifier.as_deref();
            labels.extend(identifier.map(|identifier| ("system_identifier", identifier)));
            info.sample(&labels, 1.0);
        }
    }
    vec![up, failure, info, leader, probe]
}

/// The outcome of the last reading of each source, and the number of series that were dropped.
pub fn sources(sources: &[SourceState], dropped_series: DroppedSeries) -> Vec<Family> {
    let mut info = Family::gauge(
        "poolwatch_source_info",
        "1 with the kind of thing that the source reads, whether it can be read or not.",
    );
    let mut up =
        Family::gauge("poolwatch_source_up", "Whether the last reading succeeded: 1 or 0.");
    let mut interval =
        Family::gauge("poolwatch_source_interval_seconds", "How often it is read, in seconds.");
    let mut duration = Family::gauge(
        "poolwatch_source_read_duration_seconds",
        "Duration of the last reading, successful or not.",
    );
    let mut failures =
        Family::counter("poolwatch_source_failures_total", "Readings that did not come.");
    let mut success = Family::gauge(
        "poolwatch_source_last_success_timestamp_seconds",
        "When the last reading came, in Unix seconds.",
    );
    for source in sources {
        let labels = [("source", source.name.as_str())];
        info.sample(&[labels[0], ("kind", source.kind)], 1.0);
        up.sample(&labels, source.up.map(|up| f64::from(u8::from(up))));
        interval.sample(&labels, source.interval.as_secs_f64());
        duration.sample(&labels, source.duration.map(|elapsed| elapsed.as_secs_f64()));
        failures.sample(&labels, source.failures as f64);
        success.sample(&labels, source.last_success.and_then(unix_seconds));
    }
    let mut dropped = Family::counter(
        "poolwatch_series_dropped_total",
        "Samples left out: omitted (beyond a limit, or repeated), or summed under other.",
    );
    dropped.sample(&[("reason", "omitted")], dropped_series.dropped as f64);
    dropped.sample(&[("reason", "summed")], dropped_series.aggregated as f64);
    let own = [info, up, interval, duration, failures, success, dropped];
    own.into_iter().chain(scrapes(sources)).chain(last_scrape(sources)).collect()
}

/// The same for each collector under `postgres_exporter`'s names; where there are several servers, the worst.
fn scrapes(sources: &[SourceState]) -> [Family; 2] {
    let mut duration = Family::gauge(
        "pg_scrape_collector_duration_seconds",
        "Duration of the collector's last reading.",
    );
    let mut success = Family::gauge(
        "pg_scrape_collector_success",
        "Whether the collector's last reading succeeded: 1 or 0.",
    );
    for collector in collectors::ALL {
        let of_collector = || sources.iter().filter(|source| is_of(source, collector.name));
        let labels = [("collector", collector.name)];
        let longest = of_collector().filter_map(|source| source.duration).max();
        duration.sample(&labels, longest.map(|elapsed| elapsed.as_secs_f64()));
        let up = of_collector().filter_map(|source| source.up).min();
        success.sample(&labels, up.map(|up| f64::from(u8::from(up))));
    }
    [duration, success]
}

/// All collectors as one, as `postgres_exporter` shows its scrape.
fn last_scrape(sources: &[SourceState]) -> [Family; 2] {
    let mut duration = Family::gauge(
        "pg_exporter_last_scrape_duration_seconds",
        "Duration of the last readings of all collectors together.",
    );
    let mut error = Family::gauge(
        "pg_exporter_last_scrape_error",
        "Whether the last reading of some collector failed: 1 or 0.",
    );
    let read = || sources.iter().filter(|source| source.up.is_some());
    let of_collectors =
        || read().filter(|source| collectors::ALL.iter().any(|one| is_of(source, one.name)));
    if of_collectors().next().is_some() {
        let durations = of_collectors().filter_map(|source| source.duration);
        duration.sample(&[], durations.map(|elapsed| elapsed.as_secs_f64()).sum::<f64>());
        let failed = of_collectors().any(|source| source.up == Some(false));
        error.sample(&[], f64::from(u8::from(failed)));
    }
    [duration, error]
}

fn is_of(source: &SourceState, collector: &str) -> bool {
    source.name.split_once('/').is_some_and(|(_, name)| name == collector)
}

/// The advice that stands, by rule.
pub fn advice(advice: &[Advice]) -> Vec<Family> {
    let mut family = Family::gauge(
        "poolwatch_advice",
        "1 for each advice that is firing; /health/detailed has its remedy.",
    );
    for one in advice {
        family.sample(
            &[("rule", one.rule), ("severity", one.severity.as_str()), ("subject", &one.subject)],
            1.0,
        );
    }
    vec![family]
}

/// The outcome of the last reading of the settings, and the time of the last that succeeded.
pub fn reload((success, at): (bool, SystemTime)) -> Vec<Family> {
    let mut successful = Family::gauge(
        "poolwatch_config_last_reload_successful",
        "Whether the last reading of the settings succeeded: 1 or 0.",
    );
    let mut timestamp = Family::gauge(
        "poolwatch_config_last_reload_success_timestamp_seconds",
        "When the settings in force were read, in Unix seconds.",
    );
    successful.sample(&[], f64::from(u8::from(success)));
    timestamp.sample(&[], unix_seconds(at));
    vec![successful, timestamp]
}

/// The part of this poolwatch among several.
pub fn role(role: Role) -> Vec<Family> {
    let mut family = Family::gauge(
        "poolwatch_role",
        "1 with the role of this poolwatch: sidecar, watcher, or standalone, which is both.",
    );
    family.sample(&[("role", role.as_str())], 1.0);
    vec![family]
}

/// The lines of poolwatch's own log that were dropped.
pub fn log(dropped_lines: u64) -> Vec<Family> {
    let mut dropped = Family::counter(
        "poolwatch_own_log_lines_dropped_total",
        "Lines of poolwatch's own log that were dropped, for its standard error output was not read fast enough.",
    );
    dropped.sample(&[], dropped_lines as f64);
    vec![dropped]
}

fn unix_seconds(time: SystemTime) -> Option<f64> {
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Chunk;
    use crate::reading::ConnectionTarget;

    #[test]
    fn each_database_of_one_server_has_its_own_leader() {
        let database = |name: &str, leads| DatabaseState {
            name: format!("server_{name}"),
            datname: name.to_owned(),
            places: ConnectionTarget::new("db", 5432, None, None).into_iter().collect(),
            leads: Some(leads),
            ..DatabaseState::default()
        };
        let probes = [Histogram::new(&[]), Histogram::new(&[])];
        let families = databases(&[database("one", true), database("two", false)], &probes);
        let text = Chunk::encode(&families).plain();
        let text = String::from_utf8_lossy(&text);
        for (name, leads) in [("one", 1), ("two", 0)] {
            let labels = format!(r#"server="server_{name}",address="db:5432",datname="{name}""#);
            let line = format!("poolwatch_leader{{{labels}}} {leads}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
