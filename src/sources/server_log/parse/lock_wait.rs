//! Messages about sessions that wait for a lock longer than `deadlock_timeout` (`log_lock_waits`).

/// A message about a session's wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LockWait {
    /// The process that waits.
    pub(crate) pid: u32,
    /// The kind of lock that it waits for, as `pg_locks.locktype` has it.
    pub(crate) kind: &'static str,
    /// The seconds after which it had its lock, when it has it now.
    pub(crate) acquired: Option<f64>,
}

/// The kinds of locks, as the server describes what is locked, and as `pg_locks.locktype` calls it.
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
/// The events of a wait; true where the process has its lock then.
const EVENTS: [(&str, bool); 5] = [
    ("still waiting for ", false),
    ("acquired ", true),
    ("failed to acquire ", false),
    ("detected deadlock while waiting for ", false),
    ("avoided deadlock for ", false),
];

/// Reads a message; `None` when it is about something else.
pub(crate) fn parse(message: &str) -> Option<LockWait> {
    let (process, rest) = message.strip_prefix("process ")?.split_once(' ')?;
    let (rest, acquired) =
        EVENTS.iter().find_map(|(words, acquired)| Some((rest.strip_prefix(words)?, *acquired)))?;
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
        pid: process.parse().ok()?,
        kind: kind.map_or("other", |(_, kind)| kind),
        acquired: Some(seconds).filter(|seconds| acquired && (0.0..1e9).contains(seconds)),
    })
}

fn is_position(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(" at character ")
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
            let wait = |acquired| Some(LockWait { pid: 812, kind, acquired });
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
}
