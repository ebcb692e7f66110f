//! Statements whose rows are fetched in batches: the log has a duration for each batch, and they are
//! one statement.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::sessions::Run;

/// More portals than these are not open at once.
const MOST: usize = 1024;
/// A portal from which nothing was fetched for so long has come to its end.
const QUIET: Duration = Duration::from_secs(10);

/// The portals from which rows may still be fetched, by process and statement.
#[derive(Debug, Default)]
pub(super) struct Portals(HashMap<(u32, u64), Portal>);

#[derive(Debug)]
struct Portal {
    database: String,
    run: Run,
    last: Instant,
}

impl Portals {
    /// True when none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A portal was opened, and its first rows fetched. Returns what came to its end thereby.
    pub(super) fn open(
        &mut self,
        pid: Option<u32>,
        statement: u64,
        database: &str,
        run: Run,
        now: Instant,
    ) -> Option<(String, Run)> {
        let portal = Portal { database: database.to_owned(), run, last: now };
        let Some(pid) = pid.filter(|_| self.0.len() < MOST) else {
            return Some((portal.database, run));
        };
        let before = self.0.insert((pid, statement), portal)?;
        Some((before.database, before.run))
    }

    /// More rows were fetched.
    pub(super) fn fetch(&mut self, pid: Option<u32>, statement: u64, run: Run, now: Instant) {
        let portal = pid.and_then(|pid| self.0.get_mut(&(pid, statement)));
        if let Some(portal) = portal {
            portal.run.seconds += run.seconds;
            portal.last = now;
        }
    }

    /// The transaction of this process is over, and with it its portals.
    pub(super) fn close(&mut self, pid: Option<u32>) -> Vec<(String, Run)> {
        self.ended(|of, _| Some(of) == pid)
    }

    /// Those from which nothing was fetched for long.
    pub(super) fn quiet(&mut self, now: Instant) -> Vec<(String, Run)> {
        self.ended(|_, last| now.duration_since(last) > QUIET)
    }

    fn ended(&mut self, mut is_ended: impl FnMut(u32, Instant) -> bool) -> Vec<(String, Run)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let ended = self.0.extract_if(|(pid, _), portal| is_ended(*pid, portal.last));
        ended.map(|(_, portal)| (portal.database, portal.run)).collect()
    }
}
