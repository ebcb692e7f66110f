//! The sessions of a server one by one, and the connections that workers say they hold.

use std::time::Instant;

use poolwatch_client::report::ConnectionTarget;

/// A pool of a worker process, and the connections that it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionOwner {
    /// The instance and its pool.
    pub id: String,
    /// True when the process is gone, or taken for gone.
    pub ended: bool,
    /// True when its end is inferred from its silence alone: it may live, and be stopped or blocked.
    pub is_silent: bool,
    /// The servers that it connects to; empty where that is not known.
    pub targets: Vec<ConnectionTarget>,
    /// The processes of the server at the other end; `None` where they are not reported.
    pub pids: Option<Vec<i32>>,
    /// The number of its connections; `None` where it is not reported.
    pub counts: Option<ConnectionCounts>,
}

/// The connections of a pool, as it counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Those that are open.
    pub open: u64,
    /// Callers that open or check one.
    pub connecting: u64,
    /// Those that were opened since the worker began.
    pub opened: u64,
}

impl ConnectionOwner {
    /// True if it is known to connect to these hosts and ports alone.
    pub fn connects_only_to(&self, places: &[ConnectionTarget]) -> bool {
        let connects = |target: &ConnectionTarget| places.contains(&target.server());
        !self.targets.is_empty() && self.targets.iter().all(connects)
    }

    /// True if it is known to connect to one of these hosts and ports.
    pub fn connects_to(&self, places: &[ConnectionTarget]) -> bool {
        self.targets.iter().any(|target| places.contains(&target.server()))
    }
}

/// One session of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientSession {
    /// Its process.
    pub pid: i32,
    /// The time at which it began, in the server's words: a process's number may come again.
    pub started: String,
    /// Its age in seconds.
    pub age_seconds: f64,
    /// The database that it is connected to.
    pub database: String,
    /// Its role.
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// The address of its client; `local` over a Unix socket.
    pub address: String,
}

/// All sessions of clients at one moment, poolwatch's own left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSessions {
    /// When they were read.
    pub taken_at: Instant,
    /// The sessions.
    pub sessions: Vec<ClientSession>,
}
