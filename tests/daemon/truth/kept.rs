//! The truth, as `SQLAlchemy`'s own events and the kernel told it in each worker, and what the
//! daemon makes of it.

use std::collections::BTreeMap;
use std::fs;

use crate::application::Application;
use crate::support::Metrics;

/// The settings by which gunicorn's workers keep it.
pub(super) const KEEPER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/fixtures/truth.conf.py");

/// How many connections each worker's pool keeps.
const SIZE: u64 = 5;

/// What happened in a worker since it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    checkouts: u64,
    checkins: u64,
    opened: u64,
    closed: u64,
    invalidated: u64,
    queries: u64,
    errors: u64,
    commits: u64,
}

impl Truth {
    fn read(counts: &[u8]) -> Self {
        let mut counts =
            counts.chunks_exact(8).map(|one| u64::from_ne_bytes(one.try_into().unwrap()));
        let mut next = || counts.next().unwrap_or(0);
        Self {
            checkouts: next(),
            checkins: next(),
            opened: next(),
            closed: next(),
            invalidated: next(),
            queries: next(),
            errors: next(),
            commits: next(),
        }
    }

    pub(super) fn checked_out(&self) -> u64 {
        self.checkouts.saturating_sub(self.checkins)
    }

    fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}

/// The truth of every worker there ever was, by pid.
pub(super) fn of_all(application: &Application) -> BTreeMap<u32, Truth> {
    let files = fs::read_dir(application.folder()).unwrap().map(|entry| entry.unwrap().path());
    let pid = |name: &str| name.strip_prefix("truth-")?.parse().ok();
    files
        .filter_map(|file| {
            let pid = pid(file.file_name()?.to_str()?)?;
            Some((pid, Truth::read(&fs::read(file).unwrap())))
        })
        .collect()
}

/// Everything that is counted, over all workers of all times.
#[derive(Debug, PartialEq)]
pub(super) struct Counts {
    pub(super) acquired: u64,
    returned: u64,
    opened: u64,
    invalidated: u64,
    inherited: u64,
    pub(super) queries: u64,
    errors: u64,
    commits: u64,
}

impl Counts {
    pub(super) fn from_application(application: &Application) -> Self {
        let all = of_all(application);
        let sum = |count: fn(&Truth) -> u64| all.values().map(count).sum();
        Self {
            acquired: sum(|worker| worker.checkouts),
            returned: sum(|worker| worker.checkins),
            opened: sum(|worker| worker.opened),
            invalidated: sum(|worker| worker.invalidated),
            inherited: 0,
            queries: sum(|worker| worker.queries),
            errors: sum(|worker| worker.errors),
            commits: sum(|worker| worker.commits),
        }
    }

    /// As exported; nothing before the first report.
    pub(super) fn exported(metrics: &Metrics) -> Self {
        let refused = web(metrics, "db_pool_acquire_timeouts_total")
            + web(metrics, "db_pool_acquire_errors_total");
        Self {
            acquired: web(metrics, "db_pool_acquire_duration_seconds_count") - refused,
            returned: web(metrics, "db_pool_hold_duration_seconds_count"),
            opened: web(metrics, "db_pool_connections_opened_total"),
            invalidated: web(metrics, "db_pool_connections_invalidated_total"),
            inherited: web(metrics, "db_pool_inherited_connections_total"),
            queries: web(metrics, "db_query_duration_seconds_count"),
            errors: web(metrics, "db_query_errors_total"),
            commits: web(metrics, "db_commit_duration_seconds_count"),
        }
    }
}

/// Everything that is so now, over the workers that live.
#[derive(Debug, PartialEq)]
pub(super) struct Gauges {
    workers: u64,
    size: u64,
    max_overflow: u64,
    capacity: u64,
    checked_in: u64,
    checked_out: u64,
    overflow: u64,
    pending: u64,
}

impl Gauges {
    /// Of these workers, when nobody waits.
    pub(super) fn from_application(application: &Application, workers: &[u32]) -> Self {
        let all = of_all(application);
        let sum = |count: fn(&Truth) -> u64| workers.iter().map(|pid| count(&all[pid])).sum();
        let number = workers.len() as u64;
        Self {
            workers: number,
            size: SIZE * number,
            max_overflow: 15 * number,
            capacity: 20 * number,
            checked_in: sum(|worker| worker.open().saturating_sub(worker.checked_out())),
            checked_out: sum(Truth::checked_out),
            overflow: sum(|worker| worker.open().saturating_sub(SIZE)),
            pending: 0,
        }
    }

    pub(super) fn exported(metrics: &Metrics) -> Self {
        Self {
            workers: web(metrics, "db_pool_workers"),
            size: web(metrics, "db_pool_size"),
            max_overflow: web(metrics, "db_pool_max_overflow"),
            capacity: web(metrics, "db_pool_capacity"),
            checked_in: web(metrics, "db_pool_checked_in"),
            checked_out: web(metrics, "db_pool_checked_out"),
            overflow: web(metrics, "db_pool_overflow"),
            pending: web(metrics, "db_pool_pending"),
        }
    }
}

/// A count of the pool `web`; 0 when it is not there.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
pub(super) fn web(metrics: &Metrics, name: &str) -> u64 {
    metrics.value(name, &[("pool", "web")]).unwrap_or(0.0) as u64
}
