//! The health of the servers: whether they answer.

use serde::Serialize;

use super::{FiguresBody, PoolBody, Service, percent, seconds, worst};
use crate::reading::SessionFailure;
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Moment, Role, Status};

/// The body of `/health/ready`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Readiness<'a> {
    pub(in crate::http) ready: bool,
    #[serde(flatten)]
    service: Service,
    database: Connectivity<'a>,
    pool: Worst<'a>,
}

impl<'a> Readiness<'a> {
    pub(in crate::http) fn new(snapshot: &'a Snapshot, now: Moment) -> Self {
        let unanswered = snapshot.database_up() == Some(false);
        Self {
            ready: !unanswered && !snapshot.is_stale(now),
            service: Service::new(snapshot, now),
            database: Connectivity::new(snapshot),
            pool: Worst::new(snapshot),
        }
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Connectivity<'a> {
    status: &'static str,
    message: String,
    databases: Vec<DatabaseBody<'a>>,
}

impl<'a> Connectivity<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let all = &snapshot.databases;
        let expected = all.iter().filter(|database| !database.stands_by()).count();
        let answering = all.iter().filter(|database| database.up == Some(true)).count();
        let (status, message) = match snapshot.database_up() {
            None if snapshot.role == Role::Sidecar => {
                ("none", "a sidecar reads no database; a watcher does".into())
            }
            None if all.is_empty() => ("unknown", "no database is watched".into()),
            None if all.iter().all(DatabaseState::stands_by) => {
                ("standby", "another poolwatch leads, and reads the database".into())
            }
            None => {
                let error = all.iter().find_map(|database| database.error.clone());
                ("unknown", error.unwrap_or_else(|| "no database was asked yet".into()))
            }
            Some(false) => ("disconnected", "no database answers".into()),
            Some(true) if answering == expected => ("connected", "every database answers".into()),
            Some(true) => ("degraded", format!("{answering} of {expected} databases answer")),
        };
        Self { status, message, databases: all.iter().map(DatabaseBody::new).collect() }
    }
}

/// One database.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct DatabaseBody<'a> {
    pub(in crate::http) name: &'a str,
    /// The role, the place and the database, without a password.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::http) address: &'a str,
    pub(in crate::http) status: &'static str,
    /// Whether this poolwatch is the leader, where one is elected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) leader: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) probe_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) error: Option<&'a str>,
    /// The class of the reason, as `pg_session_failure` has it; also of a server that answers and
    /// refuses new sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) reason: Option<&'static str>,
}

impl<'a> DatabaseBody<'a> {
    pub(in crate::http) fn new(database: &'a DatabaseState) -> Self {
        Self {
            name: &database.name,
            address: &database.address,
            status: match database.up {
                Some(true) => "connected",
                Some(false) => "disconnected",
                None if database.stands_by() => "standby",
                None => "unknown",
            },
            leader: database.leads,
            version: database.version.as_deref(),
            probe_seconds: database.probe.map(seconds),
            error: database.error.as_deref(),
            reason: database.session_failure.map(SessionFailure::as_str),
        }
    }
}

/// The worst pool in brief.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one for each answer")]
enum Worst<'a> {
    Pool {
        status: &'static str,
        pool: &'a str,
        #[serde(flatten)]
        figures: FiguresBody,
        #[serde(skip_serializing_if = "Option::is_none")]
        busiest_worker_utilization_percent: Option<f64>,
    },
    None {
        status: &'static str,
        message: String,
    },
}

impl<'a> Worst<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let none = || Self::None { status: "unknown", message: super::no_pool(snapshot) };
        worst(snapshot).map_or_else(none, |state| Self::Pool {
            status: state.status.map_or("unknown", Status::as_str),
            busiest_worker_utilization_percent: percent(state.busiest),
            pool: &state.pool.name,
            figures: PoolBody::new(snapshot, state).figures,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::examples::{NOW, database, empty, full, has_null, json};
    use super::*;

    #[test]
    fn one_database_that_answers_is_enough_to_be_ready() {
        let snapshot = full();
        let ready = Readiness::new(&snapshot, *NOW);
        assert!(ready.ready);
        let body = json(&ready);
        assert_eq!(body["status"], "unhealthy", "a pool is critical and a database is down");
        assert_eq!(body["database"]["status"], "degraded");
        assert_eq!(body["database"]["message"], "1 of 2 databases answer");
        assert_eq!(body["database"]["databases"][0]["probe_seconds"], 0.00085);
        assert_eq!(body["database"]["databases"][1]["error"], "connection refused");
        assert_eq!(
            (&body["pool"]["status"], &body["pool"]["checked_out"]),
            (&"critical".into(), &21.into())
        );
        assert!(!has_null(&body), "{body:#}");
    }

    #[test]
    fn no_answering_database_is_not_ready() {
        let mut snapshot = empty();
        snapshot.databases = vec![database("a", Some(false)), database("b", None)];
        assert!(!Readiness::new(&snapshot, *NOW).ready);
        assert_eq!(json(&Readiness::new(&snapshot, *NOW))["database"]["status"], "disconnected");
    }

    #[test]
    fn what_was_not_asked_is_not_called_connected() {
        let mut snapshot = empty();
        let body = json(&Readiness::new(&snapshot, *NOW));
        assert_eq!(
            (&body["ready"], &body["database"]["status"]),
            (&true.into(), &"unknown".into())
        );
        assert_eq!(body["database"]["message"], "no database is watched");
        snapshot.role = Role::Sidecar;
        let body = json(&Readiness::new(&snapshot, *NOW));
        assert_eq!((&body["ready"], &body["database"]["status"]), (&true.into(), &"none".into()));
        snapshot.role = Role::Standalone;
        snapshot.databases = vec![database("a", None)];
        let body = json(&Readiness::new(&snapshot, *NOW));
        assert_eq!(body["database"]["message"], "no database was asked yet");
        assert_eq!(body["pool"]["message"], "no source has shown a pool yet");
    }

    #[test]
    fn one_that_stands_by_is_ready_and_healthy() {
        let mut snapshot = empty();
        let mut standby = database("a", None);
        standby.leads = Some(false);
        snapshot.databases = vec![standby];
        let body = json(&Readiness::new(&snapshot, *NOW));
        assert_eq!(
            (&body["ready"], &body["status"], &body["database"]["status"]),
            (&true.into(), &"healthy".into(), &"standby".into())
        );
        let one = &body["database"]["databases"][0];
        assert_eq!((&one["status"], &one["leader"]), (&"standby".into(), &false.into()));
        assert_eq!(body["pool"]["message"], "no pool is seen: another poolwatch leads");
    }

    #[test]
    fn a_stale_sample_is_not_ready_even_if_the_database_answered_then() {
        let mut snapshot = full();
        snapshot.taken_at = Some(*NOW - Duration::from_secs(11));
        assert!(!Readiness::new(&snapshot, *NOW).ready);
    }
}
