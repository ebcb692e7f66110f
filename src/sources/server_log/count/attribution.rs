//! The session that a message is of: a client's in some database, poolwatch's own, or unknown.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::parse::LogEntry;
use crate::postgres::{APPLICATION_NAME, FIRST_STATEMENT};

/// The time for which an ended session is remembered: what it logged is read soon after.
const KEPT: Duration = Duration::from_secs(60);

/// The session that a message is of.
#[derive(Debug, PartialEq)]
pub(super) enum Attribution<'a> {
    /// One of poolwatch's.
    Own,
    /// One in this database; the server's own processes are in none, which is empty.
    Client(Cow<'a, str>),
    /// The record does not tell, and the server was too late to be asked.
    Unknown,
}

/// The server's sessions, for a log that does not tell which one a message is of.
#[derive(Debug, Default)]
pub(super) struct Backends {
    /// poolwatch's role.
    role: String,
    /// True once another than poolwatch had a session as its role.
    shared: bool,
    by_pid: HashMap<u32, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    backend: Backend,
    last_listed: Instant,
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backend {
    pub(crate) pid: u32,
    pub(crate) database: String,
    /// True when it is in poolwatch's role …
    pub(crate) same_role: bool,
    /// … and when it is poolwatch's.
    pub(crate) own: bool,
}

impl Backends {
    /// Takes in poolwatch's role, and whether others use it, too.
    pub(super) fn set_role(&mut self, role: &str, shared: bool) {
        if self.role != role {
            role.clone_into(&mut self.role);
            self.shared = false;
        }
        self.shared |= shared;
    }

    /// Takes in the sessions that there are.
    pub(super) fn update(&mut self, all: Vec<Backend>, now: Instant) {
        self.by_pid.retain(|_, session| now.duration_since(session.last_listed) < KEPT);
        for backend in all {
            self.shared |= backend.same_role && !backend.own;
            self.by_pid.insert(backend.pid, Remembered { backend, last_listed: now });
        }
    }

    fn get(&self, pid: Option<u32>) -> Option<&Backend> {
        self.by_pid.get(&pid?).map(|session| &session.backend)
    }
}

/// The session that a message is of. Without a server that can be asked poolwatch has no sessions on
/// it, and what tells of no database is of one without a name.
pub(super) fn attribute<'a>(
    entry: &'a LogEntry<'_>,
    backends: Option<&Backends>,
) -> Attribution<'a> {
    let backend = backends.and_then(|backends| backends.get(entry.pid));
    match is_own(entry, backends, backend) {
        Some(true) => return Attribution::Own,
        Some(false) => {}
        None => return Attribution::Unknown,
    }
    match (&entry.database, backend) {
        (Some(name), _) => Attribution::Client(Cow::Borrowed(name)),
        (None, Some(backend)) if !entry.tells.database => {
            Attribution::Client(Cow::Owned(backend.database.clone()))
        }
        (None, None) if !entry.tells.database && backends.is_some() => Attribution::Unknown,
        (None, _) => Attribution::Client(Cow::Borrowed("")),
    }
}

/// poolwatch's own sessions are known by their name; where the log does not tell it by their
/// process; else by a role that is nobody else's.
fn is_own(
    entry: &LogEntry<'_>,
    backends: Option<&Backends>,
    backend: Option<&Backend>,
) -> Option<bool> {
    // Until the next statement the session may have no name.
    if entry.message.ends_with(FIRST_STATEMENT) {
        return Some(true);
    }
    if let Some(name) = &entry.application {
        return Some(name == APPLICATION_NAME);
    }
    if let Some(backend) = backend {
        return Some(backend.own);
    }
    let Some(backends) = backends else { return Some(false) };
    match &entry.user {
        Some(user) if *user != backends.role => Some(false),
        Some(_) if backends.shared => None,
        Some(_) => Some(true),
        // A process of the server itself.
        None if entry.tells.user => Some(false),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::{MessageSeverity, Tells};
    use super::*;

    fn entry<'a>(user: Option<&'a str>, application: Option<&'a str>, pid: u32) -> LogEntry<'a> {
        LogEntry {
            severity: MessageSeverity::Log,
            sqlstate: None,
            user: user.map(Cow::Borrowed),
            database: None,
            application: application.map(Cow::Borrowed),
            tells: Tells { user: user.is_some(), ..Tells::default() },
            pid: Some(pid),
            tag: None,
            message: Cow::Borrowed(""),
        }
    }

    fn backends() -> Backends {
        let mut backends = Backends::default();
        backends.set_role("watcher", false);
        let own = Backend { pid: 1, database: "p".into(), same_role: true, own: true };
        let app = Backend { pid: 2, database: "app".into(), same_role: false, own: false };
        backends.update(vec![own, app], Instant::now());
        backends
    }

    #[test]
    fn a_session_is_known_by_its_name_then_by_its_process_then_by_its_role() {
        let backends = backends();
        let session = |entry: &LogEntry<'_>| match attribute(entry, Some(&backends)) {
            Attribution::Own => "own".to_owned(),
            Attribution::Client(database) => format!("client {database}"),
            Attribution::Unknown => "unknown".to_owned(),
        };
        assert_eq!(session(&entry(None, None, 1)), "own");
        assert_eq!(session(&entry(None, None, 2)), "client app");
        assert_eq!(session(&entry(None, None, 3)), "unknown");
        assert_eq!(session(&entry(Some("watcher"), None, 3)), "own");
        assert_eq!(
            session(&entry(Some("watcher"), Some(""), 2)),
            "client app",
            "an empty name is one"
        );
        assert_eq!(session(&entry(Some("app"), Some("poolwatch"), 2)), "own");
        let message = Cow::Borrowed("duration: 0.1 ms  statement: SHOW poolwatch.session");
        let first = LogEntry { message, ..entry(Some("watcher"), Some(""), 3) };
        assert_eq!(session(&first), "own");
    }

    #[test]
    fn a_role_that_others_use_tells_nothing() {
        let mut backends = backends();
        let other = Backend { pid: 9, database: "app".into(), same_role: true, own: false };
        backends.update(vec![other], Instant::now());
        assert_eq!(
            attribute(&entry(Some("watcher"), None, 3), Some(&backends)),
            Attribution::Unknown
        );
        assert_eq!(
            attribute(&entry(Some("watcher"), None, 9), Some(&backends)),
            Attribution::Client("app".into())
        );
    }

    #[test]
    fn a_log_without_its_server_has_nothing_of_poolwatchs() {
        assert_eq!(attribute(&entry(None, None, 1), None), Attribution::Client("".into()));
    }
}
