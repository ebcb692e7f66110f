//! Everything known.

use serde::Serialize;

use super::databases::DatabaseBody;
use super::latency::{EstimatedLatency, LoggedLatency};
use super::top::TopStatement;
use super::{
    Headline, PoolBody, Service, Trouble, rfc3339, rounded, seconds, troubles, worst_pool,
};
use crate::advice::Advice;
use crate::process::{Machine, Usage};
use crate::reading::{Finding, Sessions};
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Moment, Role, SourceState, Thresholds};

/// The body of `/health/detailed`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Detailed<'a> {
    #[serde(flatten)]
    pub(in crate::http) service: Service,
    pub(in crate::http) stale: bool,
    /// Its part among several poolwatches.
    pub(in crate::http) role: Role,
    /// As above the cards of the status page.
    pub(in crate::http) headline: Headline,
    /// The cards of the status page: the troubles that last, the worst first, then those that are
    /// just over.
    pub(in crate::http) troubles: Vec<Trouble<'a>>,
    pub(in crate::http) thresholds: ThresholdsBody,
    /// The pool that is most in trouble, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) worst_pool: Option<&'a str>,
    pub(in crate::http) pools: Vec<PoolBody<'a>>,
    pub(in crate::http) databases: Vec<DatabaseBody<'a>>,
    pub(in crate::http) activity: Vec<&'a Sessions>,
    /// Exact, of the statements that the server logs.
    pub(in crate::http) logged_statement_latency: Vec<LoggedLatency<'a>>,
    pub(in crate::http) estimated_statement_latency: Vec<EstimatedLatency<'a>>,
    pub(in crate::http) top_statements: Vec<TopStatement<'a>>,
    pub(in crate::http) sources: Vec<SourceBody<'a>>,
    pub(in crate::http) advice: &'a [Advice],
    pub(in crate::http) findings: Vec<FindingBody<'a>>,
    pub(in crate::http) resources: Resources,
}

impl<'a> Detailed<'a> {
    pub(in crate::http) fn new(snapshot: &'a Snapshot, resources: Resources, now: Moment) -> Self {
        let troubles = troubles(snapshot, now);
        let sessions = snapshot.databases.iter().filter_map(|database| database.sessions.as_ref());
        Self {
            service: Service::new(snapshot, now),
            stale: snapshot.is_stale(now),
            role: snapshot.role,
            headline: Headline::new(&troubles),
            troubles,
            worst_pool: worst_pool(snapshot),
            thresholds: ThresholdsBody::new(&snapshot.thresholds),
            pools: snapshot.pools.iter().map(|pool| PoolBody::new(snapshot, pool)).collect(),
            databases: snapshot.databases.iter().map(DatabaseBody::new).collect(),
            activity: sessions.collect(),
            logged_statement_latency: LoggedLatency::all(&snapshot.databases),
            estimated_statement_latency: EstimatedLatency::all(snapshot),
            top_statements: TopStatement::all(&snapshot.databases),
            sources: snapshot.sources.iter().map(|one| SourceBody::new(snapshot, one)).collect(),
            advice: &snapshot.advice,
            findings: snapshot.findings.iter().map(FindingBody::from).collect(),
            resources,
        }
    }
}

/// A pattern that a worker found in the application's statements.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct FindingBody<'a> {
    pub(in crate::http) pool: &'a str,
    /// `n_plus_one` or `unpaginated`.
    pub(in crate::http) kind: &'a str,
    /// The statement, without literals.
    pub(in crate::http) sql: &'a str,
    /// The number of times it ran in one checkout.
    pub(in crate::http) count: u64,
    /// The number of rows it returned in that checkout.
    pub(in crate::http) rows: u64,
    /// The application's own source line.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub(in crate::http) location: Option<&'a str>,
}

impl<'a> From<&'a Finding> for FindingBody<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { pool, kind, sql, count, rows, location } = finding;
        Self { pool, kind, sql, count: *count, rows: *rows, location: location.as_deref() }
    }
}

/// The resources that the daemon uses, and the machine.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Resources {
    pub(in crate::http) process: Usage,
    pub(in crate::http) host: Machine,
}

impl Resources {
    pub(in crate::http) fn now() -> Self {
        Self { process: Usage::now(), host: Machine::now() }
    }
}

/// The thresholds by which everything is judged.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct ThresholdsBody {
    warning_percent: f64,
    critical_percent: f64,
    query_target_seconds: f64,
    scale_at_seconds: f64,
    slow_query_seconds: f64,
    held_too_long_seconds: f64,
}

impl ThresholdsBody {
    fn new(thresholds: &Thresholds) -> Self {
        Self {
            warning_percent: rounded(100.0 * thresholds.warning, 100.0),
            critical_percent: rounded(100.0 * thresholds.critical, 100.0),
            query_target_seconds: seconds(thresholds.query_target),
            scale_at_seconds: seconds(thresholds.scale_at),
            slow_query_seconds: seconds(thresholds.slow_query),
            held_too_long_seconds: seconds(thresholds.held_too_long),
        }
    }

    /// The percentages at which warning begins and ends.
    pub(in crate::http) fn percents(&self) -> [f64; 2] {
        [self.warning_percent, self.critical_percent]
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct SourceBody<'a> {
    pub(in crate::http) name: &'a str,
    pub(in crate::http) status: &'static str,
    pub(in crate::http) failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) read_duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) last_success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) error: Option<&'a str>,
    /// The things that it cannot see, with the reasons.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(in crate::http) unseen: &'a [String],
}

impl<'a> SourceBody<'a> {
    fn new(snapshot: &Snapshot, source: &'a SourceState) -> Self {
        let server =
            || snapshot.databases.iter().find(|one| Some(&one.name) == source.server.as_ref());
        Self {
            name: &source.name,
            status: match source.up {
                Some(true) => "up",
                Some(false) => "failing",
                None if server().is_some_and(DatabaseState::stands_by) => "standby",
                None => "unknown",
            },
            failures: source.failures,
            read_duration_seconds: source.duration.map(seconds),
            last_success: source.last_success.map(rfc3339),
            error: source.error.as_deref(),
            unseen: &source.unseen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{NOW, empty, full, has_null, json};
    use super::*;

    #[test]
    fn everything_known_is_there() {
        let snapshot = full();
        let body = json(&Detailed::new(&snapshot, Resources::now(), *NOW));
        assert_eq!(body["pools"].as_array().unwrap().len(), 2);
        assert_eq!(body["activity"][0]["active"], 3);
        let estimated = &body["estimated_statement_latency"][0];
        assert_eq!(
            (&estimated["server"], &estimated["datname"]),
            (&"primary".into(), &"app".into())
        );
        assert_eq!(estimated["count"], 1);
        let above = &estimated["share_above"][0];
        assert_eq!(
            (above["threshold_seconds"].as_f64(), above["upper"].as_f64()),
            (Some(0.1), Some(0.0))
        );
        let logged = &body["logged_statement_latency"][0];
        assert_eq!((&logged["datname"], &logged["count"]), (&"app".into(), &1.into()));
        assert_eq!(logged["counted_from_seconds"], 0.1);
        let p95 = estimated["p95_seconds"].as_f64().unwrap();
        assert!((p95 - 0.09).abs() < 0.005, "{p95} for one call of 90 ms");
        let top = &body["top_statements"][0];
        assert_eq!((&top["calls"], &top["mean_seconds"]), (&4.into(), &0.25.into()));
        assert_eq!((&top["queryid"], &top["sql"]), (&"-7".into(), &"SELECT ?".into()));
        assert_eq!(body["sources"][0]["error"], "no route to host");
        assert_eq!(body["sources"][0]["last_success"], "2026-01-31T23:59:29.500Z");
        assert_eq!(body["advice"][0]["remedy"], "look for sessions that are not closed");
        assert_eq!(body["findings"][0]["count"], 101);
        assert_eq!(body["thresholds"]["warning_percent"], 75.0);
        assert_eq!(body["thresholds"]["query_target_seconds"], 0.1);
        assert!(body["resources"]["process"]["resident_memory_bytes"].as_u64() > Some(0));
        assert!(body["resources"]["host"]["memory_total_bytes"].as_u64() > Some(0));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        for snapshot in
            [empty(), full(), Snapshot::empty(Thresholds::default(), std::time::Duration::ZERO)]
        {
            let body = json(&Detailed::new(&snapshot, Resources::default(), *NOW));
            assert!(!has_null(&body), "{body:#}");
        }
    }
}
