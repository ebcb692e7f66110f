//! A statement that has been running for longer than a slow one may, as advice names it.

use std::fmt;

use crate::reading::{Blocker, Hold};
use crate::state::{DatabaseState, PoolState};

/// A slow statement that was running in a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SlowStatement {
    /// The statement, without literals.
    statement: String,
    /// The session that ran it, or the line that took the connection.
    origin: Option<String>,
}

impl SlowStatement {
    /// A statement on one of the longest holds of a pool, where the client names it.
    pub(super) fn of_pool(state: &PoolState, threshold: f64) -> Option<Self> {
        let mut holds = state.pool.holders.holds.iter().map(|held| &held.hold);
        // A connection that is held for long may run many short ones.
        let is_slow = |hold: &&Hold| hold.running.is_some_and(|seconds| seconds >= threshold);
        let hold = holds.find(|hold| is_slow(hold) && hold.sql.is_some())?;
        let origin = hold.location.as_ref();
        let origin = origin.map(|location| format!("on a connection taken at {location}"));
        Some(Self { statement: hold.sql.clone()?, origin })
    }

    /// The statement that a server's sessions have been running for longest.
    pub(super) fn of_server(state: &DatabaseState, threshold: f64) -> Option<Self> {
        let seconds = |session: &Blocker| session.state_seconds.unwrap_or(0.0);
        let running = &state.conditions.as_ref()?.running;
        let longest = running.iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
        let is_slow = seconds(longest) >= threshold && !longest.statement.is_empty();
        is_slow.then(|| Self {
            statement: longest.statement.clone(),
            origin: Some(format!("in {}", longest.described())),
        })
    }
}

impl fmt::Display for SlowStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was running", self.statement)?;
        self.origin.iter().try_for_each(|origin| write!(f, " {origin}"))
    }
}
