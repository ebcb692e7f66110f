//! Whose session a message is of: a client's in some database, poolwatch's own, or nobody knows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;
use crate::postgres::APPLICATION_NAME;

/// For how long a session that is no longer there is known: what it logged is read soon after.
const KEPT: Duration = Duration::from_secs(60);

/// Whose session a message is of.
#[derive(Debug, PartialEq)]
pub(super) enum Whose<'a> {
    /// One of poolwatch's.
    Own,
    /// One in this database; the server's own processes are in none, which is empty.
    Client(Cow<'a, str>),
    /// The record does not tell, and the server was too late to be asked.
    Unknown,
}

/// What the server says of its sessions, for a log that does not tell whose a message is.
#[derive(Debug, Default)]
pub(super) struct Backends {
    /// poolwatch's role.
    role: String,
    /// Whether another than poolwatch was ever seen as its role.
    shared: bool,
    known: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    backend: Backend,
    seen: Instant,
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backend {
    pub(super) process: u32,
    pub(super) database: String,
    /// Whether it is in poolwatch's role …
    pub(super) same_role: bool,
    /// … and whether it is poolwatch's.
    pub(super) own: bool,
}

impl Backends {
    /// Takes in poolwatch's role, and whether others use it, too.
    pub(super) fn role(&mut self, role: &str, shared: bool) {
        if self.role != role {
            role.clone_into(&mut self.role);
            self.shared = false;
        }
        self.shared |= shared;
    }

    /// Takes in the sessions that there are.
    pub(super) fn meet(&mut self, all: Vec<Backend>, now: Instant) {
        self.known.retain(|_, known| now.duration_since(known.seen) < KEPT);
        for backend in all {
            self.shared |= backend.same_role && !backend.own;
            self.known.insert(backend.process, Known { backend, seen: now });
        }
    }

    fn get(&self, process: Option<u32>) -> Option<&Backend> {
        self.known.get(&process?).map(|known| &known.backend)
    }
}

/// Whose session this message is of. Without a server that can be asked poolwatch has no sessions on
/// it, and what tells of no database is of one without a name.
pub(super) fn attribute<'a>(entry: &'a Entry<'_>, backends: Option<&Backends>) -> Whose<'a> {
    let known = backends.and_then(|backends| backends.get(entry.process));
    match is_own(entry, backends, known) {
        Some(true) => return Whose::Own,
        Some(false) => {}
        None => return Whose::Unknown,
    }
    match (&entry.database, known) {
        (Some(name), _) => Whose::Client(Cow::Borrowed(name)),
        (None, Some(known)) if !entry.tells.database => {
            Whose::Client(Cow::Owned(known.database.clone()))
        }
        (None, None) if !entry.tells.database && backends.is_some() => Whose::Unknown,
        (None, _) => Whose::Client(Cow::Borrowed("")),
    }
}

/// poolwatch's own sessions are known by their name; where the log does not tell it by their
/// process; else by a role that is nobody else's.
fn is_own(entry: &Entry<'_>, backends: Option<&Backends>, known: Option<&Backend>) -> Option<bool> {
    if let Some(name) = &entry.application {
        return Some(name == APPLICATION_NAME);
    }
    if let Some(known) = known {
        return Some(known.own);
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
    use super::super::entry::{Severity, Tells};
    use super::*;

    fn entry<'a>(user: Option<&'a str>, application: Option<&'a str>, process: u32) -> Entry<'a> {
        Entry {
            severity: Severity::Log,
            state: None,
            user: user.map(Cow::Borrowed),
            database: None,
            application: application.map(Cow::Borrowed),
            tells: Tells { user: user.is_some(), ..Tells::default() },
            process: Some(process),
            tag: None,
            message: Cow::Borrowed(""),
        }
    }

    fn backends() -> Backends {
        let mut backends = Backends::default();
        backends.role("watcher", false);
        let own = Backend { process: 1, database: "p".into(), same_role: true, own: true };
        let app = Backend { process: 2, database: "app".into(), same_role: false, own: false };
        backends.meet(vec![own, app], Instant::now());
        backends
    }

    #[test]
    fn a_session_is_known_by_its_name_then_by_its_process_then_by_its_role() {
        let backends = backends();
        let of = |entry: &Entry<'_>| match attribute(entry, Some(&backends)) {
            Whose::Own => "own".to_owned(),
            Whose::Client(database) => format!("client {database}"),
            Whose::Unknown => "unknown".to_owned(),
        };
        assert_eq!(of(&entry(None, None, 1)), "own");
        assert_eq!(of(&entry(None, None, 2)), "client app");
        assert_eq!(of(&entry(None, None, 3)), "unknown");
        assert_eq!(of(&entry(Some("watcher"), None, 3)), "own");
        assert_eq!(of(&entry(Some("watcher"), Some(""), 2)), "client app", "an empty name is one");
        assert_eq!(of(&entry(Some("app"), Some("poolwatch"), 2)), "own");
    }

    #[test]
    fn a_role_that_others_use_tells_nothing() {
        let mut backends = backends();
        let other = Backend { process: 9, database: "app".into(), same_role: true, own: false };
        backends.meet(vec![other], Instant::now());
        assert_eq!(attribute(&entry(Some("watcher"), None, 3), Some(&backends)), Whose::Unknown);
        assert_eq!(
            attribute(&entry(Some("watcher"), None, 9), Some(&backends)),
            Whose::Client("app".into())
        );
    }

    #[test]
    fn a_log_without_its_server_has_nothing_of_poolwatchs() {
        assert_eq!(attribute(&entry(None, None, 1), None), Whose::Client("".into()));
    }
}
