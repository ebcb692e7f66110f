//! One worker process, with its newest report.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::reading::{ConnectionCounts, ConnectionOwner, Demand};
use poolwatch_client::report;

/// The silence after which a process that nobody can look for is taken for ended, at least: one that
/// was stopped for a moment still holds its sessions.
const SILENCE: Duration = Duration::from_mins(5);

/// The newest report of one instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) seq: u64,
    /// Its pid by the kernel's word, by which it can be looked for.
    pub(super) sender: Option<u32>,
    pub(super) pid: Option<u32>,
    pub(super) app: Option<String>,
    pub(super) period: Duration,
    pub(super) received_at: Instant,
    /// True once its final report came or its process is gone: its figures are no longer shown, its
    /// counters are kept to go on from.
    pub(super) gone: bool,
    /// True once its process is certain to be gone.
    pub(super) ended: bool,
    /// True if its final report came.
    pub(super) left: bool,
    pub(super) pools: Vec<LastReport>,
}

/// The last report of a pool.
#[derive(Debug)]
pub(super) struct LastReport {
    pub(super) pool: report::PoolReport,
    /// True while the newest report has it.
    pub(super) present: bool,
    /// What was asked of it since the last reading.
    pub(super) demand: Option<Demand>,
}

impl Instance {
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.received_at)
    }

    /// True when it has missed fewer than three reports.
    pub(super) fn is_live(&self, ttl: Duration, now: Instant) -> bool {
        !self.gone && self.age(now) <= ttl.max(3 * self.period)
    }

    /// True when its process may send reports again.
    pub(super) fn may_resume(&self) -> bool {
        !self.gone && self.sender.is_some()
    }

    /// Looks for the process of an instance that is late.
    pub(super) fn check_process(&mut self, now: Instant) {
        if !self.ended && self.age(now) > self.period.mul_f64(1.5) {
            self.ended = self.sender.is_some_and(is_gone);
            self.gone |= self.ended;
        }
    }

    /// What each of its pools holds, by this name of the instance. One whose process nobody can look
    /// for is taken for ended when it was silent for long without its final report.
    pub(super) fn owners(&self, name: &str, now: Instant) -> impl Iterator<Item = ConnectionOwner> {
        let is_silent =
            self.sender.is_none() && !self.gone && self.age(now) > SILENCE.max(5 * self.period);
        self.pools.iter().filter(|last| last.present).map(move |LastReport { pool, .. }| {
            ConnectionOwner {
                id: format!("{name}/{}", pool.name),
                ended: self.ended || is_silent,
                is_silent: is_silent && !self.ended,
                targets: pool.targets.clone(),
                pids: pool.backend_pids.clone(),
                counts: counts(pool),
            }
        })
    }
}

/// The connections of a pool that counts all of them.
fn counts(pool: &report::PoolReport) -> Option<ConnectionCounts> {
    Some(ConnectionCounts {
        open: pool.figures.checked_in? + pool.figures.checked_out?,
        connecting: pool.figures.connecting.unwrap_or_default(),
        opened: pool.totals.opened?,
    })
}

fn is_gone(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}
