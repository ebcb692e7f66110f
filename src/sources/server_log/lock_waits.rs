//! What the log says of sessions that wait for a lock longer than `deadlock_timeout`
//! (`log_lock_waits`).

use std::collections::BTreeMap;
use std::collections::HashSet;

use crate::latency::Histogram;

/// Bounds of waits, in seconds: less than `deadlock_timeout`, of mostly one second, is not logged.
pub(super) const BOUNDS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// More sessions than these do not wait at once.
const MOST: usize = 4096;

/// What a message says of a session's wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LockWait {
    /// The process that waits.
    process: u32,
    /// What it waits for, as `pg_locks.locktype` has it.
    kind: &'static str,
    /// Whether it has its lock now, after so many seconds.
    acquired: Option<f64>,
}

/// What is locked, as the server describes it, and as `pg_locks.locktype` calls it.
const KINDS: [(&str, &str); 12] = [
    ("relation ", "relation"),
    ("extension of relation ", "extend"),
    ("pg_database.datfrozenxid ", "frozenid"),
    ("page ", "page"),
    ("tuple ", "tuple"),
    ("transaction ", "transactionid"),
    ("virtual transaction ", "virtualxid"),
    ("speculative token ", "spectoken"),
    ("object ", "object"),
    ("user lock ", "userlock"),
    ("advisory lock ", "advisory"),
    ("remote transaction ", "applytransaction"),
];
/// Whether the lock is had after this, by what is said of the process.
const SAID: [(&str, bool); 5] = [
    ("still waiting for ", false),
    ("acquired ", true),
    ("failed to acquire ", false),
    ("detected deadlock while waiting for ", false),
    ("avoided deadlock for ", false),
];

/// What this message says of a wait; `None` when it is about something else.
pub(super) fn parse(message: &str) -> Option<LockWait> {
    let (process, rest) = message.strip_prefix("process ")?.split_once(' ')?;
    let (rest, acquired) =
        SAID.iter().find_map(|(words, acquired)| Some((rest.strip_prefix(words)?, *acquired)))?;
    let (mode, rest) = rest.split_once(" on ")?;
    if !mode.ends_with("Lock") {
        return None;
    }
    let (target, after) = rest.rsplit_once(" after ")?;
    // In text it may end with where in the statement that was.
    let (figure, _) = after.split_once(" ms").filter(|(_, rest)| is_position(rest))?;
    let seconds = figure.parse::<f64>().ok()? / 1000.0;
    let kind = KINDS.iter().find(|(words, _)| target.starts_with(words));
    Some(LockWait {
        process: process.parse().ok()?,
        kind: kind.map_or("other", |(_, kind)| kind),
        acquired: Some(seconds).filter(|seconds| acquired && (0.0..1e9).contains(seconds)),
    })
}

fn is_position(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(" at character ")
}

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
    /// Whether this is the first that is said of a wait.
    pub(super) fn is_new(&mut self, wait: &LockWait) -> bool {
        if wait.acquired.is_some() {
            return !self.0.remove(&wait.process);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(wait.process)
    }

    /// This process waits no more.
    pub(super) fn forget(&mut self, process: Option<u32>) {
        if let Some(process) = process {
            self.0.remove(&process);
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
    use super::*;

    #[test]
    fn a_wait_is_read_with_what_it_is_for() {
        for (target, kind) in [
            ("relation 16385 of database 5", "relation"),
            ("tuple (0,1) of relation 16385 of database 5", "tuple"),
            ("transaction 745", "transactionid"),
            ("advisory lock [5,0,1,1]", "advisory"),
            ("extension of relation 16385 of database 5", "extend"),
            ("something of a later version", "other"),
        ] {
            let waits =
                format!("process 812 still waiting for ShareLock on {target} after 1000.1 ms");
            let had = format!(
                "process 812 acquired ShareLock on {target} after 2500.000 ms at character 15"
            );
            let wait = |acquired| Some(LockWait { process: 812, kind, acquired });
            assert_eq!((parse(&waits), parse(&had)), (wait(None), wait(Some(2.5))), "{target}");
        }
    }

    #[test]
    fn what_is_about_something_else_is_no_wait() {
        for message in [
            "process 812 acquired fame on stage after 2 ms",
            "process x acquired ShareLock on transaction 7 after 2 ms",
            "process 812 acquired ShareLock on transaction 7 after x ms",
            "process 812",
            "",
        ] {
            assert_eq!(parse(message), None, "{message}");
        }
    }

    #[test]
    fn a_wait_is_counted_once_however_often_it_is_told_of() {
        let (mut waiting, mut waits) = (Waiting::default(), Waits::default());
        let mut tell = |what: &str| {
            let wait =
                parse(&format!("process 8 {what} ShareLock on transaction 7 after 9 ms")).unwrap();
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
