//! Pools and their workers, under the names an application's own pool endpoint uses.

use serde::Serialize;

use super::figures::{CountsBody, FiguresBody};
use super::holders::{self, EndpointBody, HoldBody};
use super::latency::Latency;
use super::sizing::SizingBody;
use super::{percent, seconds};
use crate::advice::Advice;
use crate::reading::{ConnectionTarget, Origin, Worker};
use crate::snapshot::Snapshot;
use crate::state::{Moment, PoolState, Status, Thresholds};

/// The body of `/health/database/pool`: the worst pool at the top, then each.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct PoolHealth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(flatten)]
    worst: Worst<'a>,
    pools: Vec<PoolBody<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Worst<'a> {
    Pool(Box<PoolBody<'a>>),
    None { status: &'static str, recommendations: [&'static str; 0] },
}

impl<'a> PoolHealth<'a> {
    pub(in crate::http) fn new(snapshot: &'a Snapshot, now: Moment) -> Self {
        let worst =
            worst(snapshot).map(|pool| Worst::Pool(Box::new(PoolBody::brief(snapshot, pool))));
        let unknown = || super::no_pool(snapshot);
        Self {
            message: super::staleness(snapshot, now).or_else(|| worst.is_none().then(unknown)),
            worst: worst.unwrap_or(Worst::None { status: "unknown", recommendations: [] }),
            pools: snapshot.pools.iter().map(|pool| PoolBody::new(snapshot, pool)).collect(),
        }
    }
}

/// The place of a pool among others: by status, then the busiest, then the one for which most wait,
/// then the one that has most connections out.
pub(in crate::http) type Badness = (Option<Status>, Option<f64>, Option<u64>, Option<u64>);

fn badness(pool: &PoolState) -> Badness {
    (pool.status, pool.busiest, pool.sum.pending, pool.sum.checked_out)
}

/// The pool most in trouble.
pub(in crate::http) fn worst(snapshot: &Snapshot) -> Option<&PoolState> {
    snapshot.pools.iter().reduce(
        |worst, pool| {
            if badness(pool) > badness(worst) { pool } else { worst }
        },
    )
}

/// One pool: the sums over its workers, then the workers.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct PoolBody<'a> {
    pub(in crate::http) pool: &'a str,
    pub(in crate::http) source: &'static str,
    pub(in crate::http) status: &'static str,
    #[serde(skip)]
    pub(in crate::http) badness: Badness,
    #[serde(flatten)]
    pub(in crate::http) figures: FiguresBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) busiest_worker_utilization_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) peak_utilization_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) worker_count: Option<u64>,
    /// The servers that its connections go to, where that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<TargetBody<'a>>,
    /// The meaning of the figures, when there is more than one worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) notes: Vec<&'static str>,
    pub(in crate::http) recommendations: Vec<String>,
    #[serde(skip_serializing_if = "Latency::is_empty")]
    pub(in crate::http) latency: Latency,
    #[serde(skip_serializing_if = "CountsBody::is_empty")]
    counts: CountsBody,
    /// The endpoints that hold most of its connections; `other` is the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) endpoints: Vec<EndpointBody<'a>>,
    /// The longest current holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) holds: Vec<HoldBody<'a>>,
    /// The size that each worker's pool needs, once enough was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) sizing: Option<SizingBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) workers: Vec<WorkerBody<'a>>,
}

impl<'a> PoolBody<'a> {
    /// Everything of a pool.
    pub(in crate::http) fn new(snapshot: &Snapshot, state: &'a PoolState) -> Self {
        let thresholds = snapshot.thresholds.of_pool(&state.pool.name);
        Self {
            latency: Latency::from(&state.recent),
            counts: CountsBody(state.pool.totals),
            targets: state.pool.targets.iter().map(TargetBody::from).collect(),
            endpoints: holders::endpoints(state),
            holds: holders::holds(state),
            sizing: state.sizing.as_ref().map(SizingBody::from),
            workers: state
                .pool
                .workers
                .iter()
                .map(|worker| WorkerBody::new(worker, &thresholds))
                .collect(),
            ..Self::brief(snapshot, state)
        }
    }

    /// A pool without its workers, targets, timings and counts.
    fn brief(snapshot: &Snapshot, state: &'a PoolState) -> Self {
        Self {
            pool: &state.pool.name,
            source: state.pool.origin.as_str(),
            status: state.status.map_or("unknown", Status::as_str),
            badness: badness(state),
            figures: FiguresBody(state.sum),
            busiest_worker_utilization_percent: percent(state.busiest),
            peak_utilization_percent: percent(state.peak),
            worker_count: state.pool.worker_count,
            targets: Vec::new(),
            sums: sums(state),
            notes: notes(state),
            recommendations: recommendations(snapshot, &state.pool.name),
            latency: Latency::default(),
            counts: CountsBody::default(),
            endpoints: Vec::new(),
            holds: Vec::new(),
            sizing: None,
            workers: Vec::new(),
        }
    }
}

/// A server, a database and a role that a pool connects to, as `db_pool_info` has them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct TargetBody<'a> {
    /// The host's name or address, or the folder of its Unix socket.
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
}

impl<'a> From<&'a ConnectionTarget> for TargetBody<'a> {
    fn from(target: &'a ConnectionTarget) -> Self {
        Self {
            host: &target.host,
            port: target.port,
            database: target.database.as_deref(),
            role: target.role.as_deref(),
        }
    }
}

fn sums(state: &PoolState) -> Option<String> {
    let workers = state.pool.workers.len();
    (workers > 1).then(|| {
        format!(
            "pool_size, max_overflow, capacity, checked_in, checked_out, overflow, pending, connecting and \
             utilization_percent are sums over {workers} workers; \
             status is judged on the busiest worker"
        )
    })
}

/// Notes that one needs to read the figures rightly.
fn notes(state: &PoolState) -> Vec<&'static str> {
    let origin = match state.pool.origin {
        Origin::Activity => Some(
            "inferred from the sessions on the server: a connection that is lent and runs no \
             statement is not seen, so checked_out is a lower bound",
        ),
        Origin::AppHealth => Some("the figures of the one worker that answered"),
        Origin::Workers | Origin::Pgbouncer => None,
    };
    let blind = "without a known capacity there is no utilization and no status";
    origin.into_iter().chain(state.busiest.is_none().then_some(blind)).collect()
}

fn recommendations(snapshot: &Snapshot, pool: &str) -> Vec<String> {
    let is_cause = |one: &Advice, of: &Advice| {
        let cause = of.explained_by.as_ref();
        cause.is_some_and(|cause| (cause.rule, &cause.subject) == (one.rule, &one.subject))
    };
    let about = |pool| snapshot.advice.iter().filter(move |advice| advice.subject == pool);
    // A cause may be the server's, and stands before its consequences.
    let shown = snapshot.advice.iter().filter(|one| {
        one.subject == pool || about(pool).any(|consequence| is_cause(one, consequence))
    });
    shown.map(|advice| format!("{}: {}", advice.message, advice.remedy)).collect()
}

/// One worker's pool.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct WorkerBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) app: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) age_seconds: Option<f64>,
    pub(in crate::http) status: &'static str,
    #[serde(flatten)]
    pub(in crate::http) figures: FiguresBody,
}

impl<'a> WorkerBody<'a> {
    fn new(worker: &'a Worker, thresholds: &Thresholds) -> Self {
        let status = worker.figures.utilization().map(|share| thresholds.status(share));
        Self {
            status: status.map_or("unknown", Status::as_str),
            pid: worker.pid,
            app: worker.app.as_deref(),
            age_seconds: worker.age.map(seconds),
            figures: FiguresBody(worker.figures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{NOW, empty, full, has_null, json, pool, worker};
    use super::*;
    use crate::latency::Histogram;
    use crate::reading::{Endpoint, EndpointTotals, Hold, Holders, OTHER, WorkerHold};

    #[test]
    fn one_worker_is_shown_in_the_words_of_its_own_endpoint() {
        let mut snapshot = empty();
        snapshot.pools = vec![pool("web", Origin::AppHealth, vec![worker(7, 19)])];
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        for (key, value) in [
            ("pool_size", 5.0),
            ("max_overflow", 15.0),
            ("capacity", 20.0),
            ("checked_in", 0.0),
            ("checked_out", 19.0),
            ("overflow", 14.0),
            ("utilization_percent", 95.0),
        ] {
            assert_eq!(body[key].as_f64(), Some(value), "{key}");
        }
        assert_eq!((&body["status"], &body["pool"]), (&"critical".into(), &"web".into()));
        assert!(body["recommendations"].is_array());
    }

    #[test]
    fn sums_are_called_sums_and_the_busiest_worker_is_named() {
        let snapshot = full();
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        assert_eq!((&body["checked_out"], &body["capacity"]), (&21.into(), &40.into()));
        assert_eq!(body["utilization_percent"], 52.5);
        assert_eq!(body["busiest_worker_utilization_percent"], 95.0);
        assert!(body["sums"].as_str().unwrap().contains("sums over 2 workers"));
        assert!(body["recommendations"][0].as_str().unwrap().contains("not closed"));
        assert_eq!(body["pools"][0]["workers"][0]["pid"], 812);
        assert_eq!(body["pools"][0]["workers"][0]["age_seconds"], 0.4);
        assert_eq!(body.get("workers"), None, "workers are shown once, under their pool");
        assert!(!has_null(&body), "{body:#}");
    }

    #[test]
    fn the_holders_are_named_and_the_rest_is_one() {
        let endpoint = |number: u64| Endpoint {
            name: if number == 24 { OTHER.into() } else { format!("GET /{number}") },
            checked_out: 24 - number,
            totals: EndpointTotals { checkouts: 2, held: 1.5, hold: None },
        };
        let hold = Hold {
            endpoint: Some("GET /0".into()),
            location: Some("app/leak.py:12".into()),
            age: 75.5,
            sql: None,
            active: Some(false),
            running: None,
        };
        let mut web = pool("web", Origin::Workers, vec![worker(7, 19)]);
        web.pool.holders = Holders {
            endpoints: (0..25).map(endpoint).collect(),
            holds: vec![WorkerHold { pid: Some(812), app: None, hold }],
        };
        let mut snapshot = empty();
        snapshot.pools = vec![web];
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        let pool = &body["pools"][0];
        assert_eq!(pool["endpoints"].as_array().unwrap().len(), 21);
        assert_eq!(
            pool["endpoints"][0],
            serde_json::json!({"endpoint": "GET /0", "checked_out": 24, "checkouts": 2, "held_seconds": 1.5})
        );
        assert_eq!(
            pool["endpoints"][20],
            serde_json::json!({"endpoint": "other", "checked_out": 10, "checkouts": 10, "held_seconds": 7.5})
        );
        assert_eq!(
            pool["holds"],
            serde_json::json!([{"pid": 812, "endpoint": "GET /0", "where": "app/leak.py:12", "held_seconds": 75.5, "state": "idle"}])
        );
        assert_eq!(body.get("endpoints"), None, "they are shown once, under their pool");
    }

    #[test]
    fn the_servers_that_a_pool_connects_to_are_shown_once() {
        let mut web = pool("web", Origin::Workers, vec![worker(7, 1)]);
        let target = |host, role| ConnectionTarget::new(host, 5432, Some("app"), role).unwrap();
        web.pool.targets =
            vec![target("/run/postgresql", None), target("db.internal", Some("web"))];
        let mut snapshot = empty();
        snapshot.pools = vec![web, pool("other", Origin::AppHealth, vec![worker(8, 0)])];
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        assert_eq!(
            body["pools"][0]["targets"],
            serde_json::json!([
                {"host": "/run/postgresql", "port": 5432, "database": "app"},
                {"host": "db.internal", "port": 5432, "database": "app", "role": "web"},
            ])
        );
        assert_eq!((body.get("targets"), body["pools"][1].get("targets")), (None, None));
    }

    #[test]
    fn a_pool_without_capacity_has_no_utilization_and_says_so() {
        let mut snapshot = empty();
        snapshot.pools = vec![pool("app", Origin::Activity, vec![Worker::default()])];
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        assert_eq!(body["status"], "unknown");
        assert_eq!((body.get("capacity"), body.get("utilization_percent")), (None, None));
        assert!(body["notes"][1].as_str().unwrap().contains("without a known capacity"));
    }

    #[test]
    fn without_a_pool_nothing_is_made_up() {
        let body = json(&PoolHealth::new(&empty(), *NOW));
        assert_eq!((&body["status"], &body["pools"]), (&"unknown".into(), &serde_json::json!([])));
        assert_eq!(body["message"], "no source has shown a pool yet");
    }

    #[test]
    fn the_worst_is_by_status_then_the_busiest() {
        let mut snapshot = empty();
        let idle = pool("a", Origin::Workers, vec![worker(1, 1), worker(2, 1)]);
        let busy = pool("b", Origin::Workers, vec![worker(1, 2)]);
        let blind = pool("c", Origin::Activity, vec![Worker::default()]);
        snapshot.pools = vec![blind.clone()];
        assert_eq!(worst(&snapshot).unwrap().pool.name, "c");
        snapshot.pools = vec![idle, busy, blind];
        assert_eq!(worst(&snapshot).unwrap().pool.name, "b");
    }

    #[test]
    fn latency_is_in_seconds_and_left_out_when_nothing_was_timed() {
        let mut snapshot = empty();
        let mut web = pool("web", Origin::Workers, vec![worker(7, 1)]);
        assert_eq!(json(&PoolBody::new(&snapshot, &web)).get("latency"), None);
        let mut query = Histogram::new(crate::latency::BOUNDS);
        (0..10).for_each(|_| query.observe(0.09));
        web.recent.query = Some(query);
        snapshot.pools = vec![web];
        let body = json(&PoolHealth::new(&snapshot, *NOW));
        let query = &body["pools"][0]["latency"]["query"];
        assert_eq!(query["count"], 10);
        assert!((0.075..=0.1).contains(&query["p95_seconds"].as_f64().unwrap()), "{query}");
    }
}
