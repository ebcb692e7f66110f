//! One worker process, with its newest report.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::reading::Demand;
use poolwatch_client::report;

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
        if !self.gone && self.age(now) > self.period.mul_f64(1.5) {
            self.gone = self.sender.is_some_and(is_gone);
        }
    }
}

fn is_gone(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}
