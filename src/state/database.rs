//! A server, as the probe sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reading::{
    Conditions, ConnectionTarget, FailureKind, LockQueue, LoggedTimes, SessionFailure, Sessions,
    StatementTimes, Top,
};

use super::SessionOwners;

/// One database server as the probe sees it.
#[derive(Clone, Debug, Default)]
pub struct DatabaseState {
    /// The name in the settings.
    pub name: String,
    /// The role, the place and the database, such as `watch@db:5432/app`, without a password.
    pub address: String,
    /// The database of that address.
    pub datname: String,
    /// Its hosts and ports, aliases included.
    pub places: Vec<ConnectionTarget>,
    /// The identifier that it shares with its replicas only.
    pub system_identifier: Option<Arc<str>>,
    /// `true` while it answers; `None` before the first probe, and while another poolwatch leads.
    pub up: Option<bool>,
    /// `true` while this poolwatch is its leader; `None` where none is elected.
    pub leads: Option<bool>,
    /// Its version, such as `15.4`.
    pub version: Option<String>,
    /// The duration of the last `SELECT 1`.
    pub probe: Option<Duration>,
    /// Its sessions, counted.
    pub sessions: Option<Sessions>,
    /// Its sessions by their owners, where workers report theirs.
    pub session_owners: Option<SessionOwners>,
    /// The conditions that rules judge.
    pub conditions: Option<Arc<Conditions>>,
    /// The queues for locks, the longest first.
    pub lock_queues: Vec<LockQueue>,
    /// The recent latency of statements, by database, as estimated.
    pub statements: Vec<StatementTimes>,
    /// The statements that matter most.
    pub top: Option<Arc<Top>>,
    /// The recent latency of statements, by database, as the server logged it.
    pub logged: Vec<LoggedTimes>,
    /// The reason why it does not answer.
    pub error: Option<String>,
    /// The class of the reason why it does not answer, or gives no further session.
    pub session_failure: Option<SessionFailure>,
    /// The thing to do about that, where it is known.
    pub remedy: Option<String>,
    /// The time since when it has not answered.
    pub down_since: Option<Instant>,
    /// The time at which it answered again.
    pub down_until: Option<Instant>,
}

impl DatabaseState {
    /// Returns true while this poolwatch says nothing of it, for it does not lead.
    pub fn is_not_led(&self) -> bool {
        self.leads == Some(false) && self.up.is_none()
    }

    /// Returns true while it is for another poolwatch to speak of it.
    pub fn stands_by(&self) -> bool {
        self.is_not_led() && self.error.is_none()
    }

    /// Returns true if it answers and does not let poolwatch in, so that others may be well.
    pub fn denies(&self) -> bool {
        self.up == Some(false)
            && self.session_failure.is_some_and(|one| one.kind() == FailureKind::Denied)
    }
}
