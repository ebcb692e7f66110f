//! Waits for locks, counted once each.

use std::collections::BTreeMap;
use std::collections::HashSet;

use super::super::parse::LockWait;
use crate::latency::Histogram;

/// Bounds of waits, in seconds: less than `deadlock_timeout`, of mostly one second, is not logged.
pub(super) const BOUNDS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// More sessions than these do not wait at once.
const MOST: usize = 4096;

/// The sessions that wait, so that each wait is counted once.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashSet<u32>);

/// The waits of one database's sessions.
#[derive(Debug)]
pub(super) struct Waits {
    /// By what they were for.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Of those that had their lock in the end.
    pub(super) acquired: Histogram,
}

impl Default for Waits {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), acquired: Histogram::new(BOUNDS) }
    }
}

impl Waiting {
    /// True at the first message about a wait.
    pub(super) fn is_new(&mut self, wait: &LockWait) -> bool {
        if wait.acquired.is_some() {
            return !self.0.remove(&wait.pid);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(wait.pid)
    }

    /// This process waits no more.
    pub(super) fn forget(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid {
            self.0.remove(&pid);
        }
    }
}

impl Waits {
    pub(super) fn count(&mut self, wait: &LockWait, is_new: bool) {
        if is_new {
            *self.counts.entry(wait.kind).or_default() += 1;
        }
        if let Some(seconds) = wait.acquired {
            self.acquired.observe(seconds);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.acquired.merge(&other.acquired);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::lock_wait;
    use super::*;

    #[test]
    fn a_wait_is_counted_once_however_often_it_is_logged() {
        let (mut waiting, mut waits) = (Waiting::default(), Waits::default());
        let mut tell = |what: &str| {
            let wait = lock_wait::parse(&format!(
                "process 8 {what} ShareLock on transaction 7 after 9 ms"
            ))
            .unwrap();
            let is_new = waiting.is_new(&wait);
            waits.count(&wait, is_new);
            (waits.counts["transactionid"], waits.acquired.count())
        };
        assert_eq!(tell("still waiting for"), (1, 0));
        assert_eq!(tell("still waiting for"), (1, 0));
        assert_eq!(tell("acquired"), (1, 1));
        assert_eq!(tell("acquired"), (2, 2), "of one whose begin was not seen");
    }
}
