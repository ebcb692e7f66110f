//! The state of sessions between two of their messages: in the extended protocol one statement has
//! up to three durations.
//!
//! Of a statement's text no more is kept than a hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::super::parse::{DurationMessage, Step};
use crate::latency::is_timed;

/// More sessions than this have not a statement between two messages; what is forgotten is the time
/// that parsing took.
const MOST: usize = 4096;
/// The bytes by which a statement is told from others.
const TELLING: usize = 1024;

/// A statement that was run to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// The duration of all its steps.
    pub(super) seconds: f64,
    /// The duration of the last of them, by which the server decided to log it.
    pub(super) last: f64,
    /// True when it counts as a query.
    pub(super) timed: bool,
    pub(super) rows: Rows,
}

/// The rows of a statement that were fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Rows {
    #[default]
    All,
    /// The first ones of this portal, from which more may be fetched.
    First(u64),
    /// More of this portal's.
    More(u64),
}

/// All sessions that are between two messages, by their pid.
#[derive(Debug, Default)]
pub(super) struct LoggedSessions {
    open: HashMap<u32, Session>,
    hashes: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// The duration of a statement's steps so far.
    steps: Option<(u64, f64)>,
    /// The statement that runs, true when it counts as a query, and the rows that are fetched.
    begun: Option<(u64, bool, Rows)>,
}

/// A duration of which the statement is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct UnknownStatement;

impl LoggedSessions {
    /// Takes a message in, and returns the statement that came to its end with it. One that names
    /// neither the statement nor the session is refused.
    pub(super) fn take(
        &mut self,
        pid: Option<u32>,
        tag: Option<&str>,
        message: &DurationMessage<'_>,
    ) -> Result<Option<Run>, UnknownStatement> {
        match *message {
            DurationMessage::Begins(step) => {
                self.begin(pid, step);
                Ok(None)
            }
            DurationMessage::Elapsed(seconds, Step::Unknown) => {
                self.without_text(pid, tag, seconds)
            }
            DurationMessage::Elapsed(seconds, Step::Parse(text)) => {
                Ok(self.step(pid, self.hash(text), seconds, true))
            }
            DurationMessage::Elapsed(seconds, Step::Bind(text)) => {
                Ok(self.step(pid, self.hash(text), seconds, false))
            }
            DurationMessage::Elapsed(seconds, Step::Whole(text)) => {
                self.forget(pid);
                Ok(Some(Run { seconds, last: seconds, timed: is_timed(text), rows: Rows::All }))
            }
            DurationMessage::Elapsed(seconds, step) => {
                let Some((hash, timed, rows)) = self.executed(step) else { return Ok(None) };
                Ok(Some(Run { rows, ..self.end(pid, hash, seconds, timed) }))
            }
        }
    }

    /// A statement failed: its duration will not be logged.
    pub(super) fn forget(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid {
            self.open.remove(&pid);
        }
    }

    fn begin(&mut self, pid: Option<u32>, step: Step<'_>) {
        let Some(begun) = self.executed(step) else { return };
        if let Some(session) = self.session(pid) {
            session.begun = Some(begun);
        }
    }

    /// The statement that a step runs, true when it counts as a query, and the rows that it fetches.
    fn executed(&self, step: Step<'_>) -> Option<(u64, bool, Rows)> {
        let (Step::Whole(text) | Step::Execute(text) | Step::Open(text) | Step::Fetch(text)) = step
        else {
            return None;
        };
        let hash = self.hash(text);
        let rows = match step {
            Step::Open(_) => Rows::First(hash),
            Step::Fetch(_) => Rows::More(hash),
            _ => Rows::All,
        };
        Some((hash, is_timed(text), rows))
    }

    fn step(&mut self, pid: Option<u32>, hash: u64, seconds: f64, first: bool) -> Option<Run> {
        let session = self.session(pid)?;
        let before = session.steps.filter(|(of, _)| !first && *of == hash);
        session.steps = Some((hash, seconds + before.map_or(0.0, |(_, before)| before)));
        None
    }

    fn end(&mut self, pid: Option<u32>, hash: u64, last: f64, timed: bool) -> Run {
        let session = pid.and_then(|pid| self.open.remove(&pid)).unwrap_or_default();
        let before = session.steps.filter(|(of, _)| *of == hash).map_or(0.0, |(_, before)| before);
        Run { seconds: before + last, last, timed, rows: Rows::All }
    }

    /// A duration alone is of the statement that began before, or of what the session is doing.
    fn without_text(
        &mut self,
        pid: Option<u32>,
        tag: Option<&str>,
        seconds: f64,
    ) -> Result<Option<Run>, UnknownStatement> {
        let open = pid.and_then(|pid| self.open.get(&pid));
        if let Some((hash, timed, rows)) = open.and_then(|session| session.begun) {
            return Ok(Some(Run { rows, ..self.end(pid, hash, seconds, timed) }));
        }
        // No text hashes to nothing.
        match tag {
            None => Err(UnknownStatement),
            Some("PARSE") => Ok(self.step(pid, 0, seconds, true)),
            Some("BIND") => Ok(self.step(pid, 0, seconds, false)),
            // Of what the statement is about only its command is known.
            Some(tag) => Ok(Some(self.end(pid, 0, seconds, is_timed(&format!("{tag} …"))))),
        }
    }

    fn session(&mut self, pid: Option<u32>) -> Option<&mut Session> {
        let pid = pid?;
        if self.open.len() >= MOST && !self.open.contains_key(&pid) {
            self.open.clear();
        }
        Some(self.open.entry(pid).or_default())
    }

    fn hash(&self, text: &str) -> u64 {
        self.hashes.hash_one(&text.as_bytes()[..text.len().min(TELLING)]).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::duration;
    use super::*;

    /// The milliseconds of the statements that ended with these messages of process 7.
    fn run(messages: &[(&str, Option<&str>)]) -> Vec<Option<f64>> {
        let mut sessions = LoggedSessions::default();
        let ended = messages.iter().filter_map(|(message, tag)| {
            let message = duration::parse(message).unwrap();
            match sessions.take(Some(7), *tag, &message) {
                Ok(run) => run.map(|run| run.timed.then_some((1000.0 * run.seconds).round())),
                Err(UnknownStatement) => Some(Some(-1.0)),
            }
        });
        ended.collect()
    }

    #[test]
    fn the_three_steps_are_one_statement() {
        let ended = run(&[
            ("duration: 1 ms  parse a: SELECT x", None),
            ("duration: 2 ms  bind a: SELECT x", None),
            ("duration: 4 ms  execute a: SELECT x", None),
            ("duration: 2 ms  bind a: SELECT x", None),
            ("duration: 8 ms  execute a: SELECT x", None),
            ("duration: 16 ms  execute a: COMMIT", None),
        ]);
        assert_eq!(ended, [Some(7.0), Some(10.0), None]);
    }

    #[test]
    fn the_parsing_of_another_is_not_counted() {
        let ended = run(&[
            ("duration: 1 ms  parse a: SELECT x", None),
            ("duration: 1 ms  parse b: SELECT y", None),
            ("duration: 2 ms  bind c: SELECT z", None),
            ("duration: 4 ms  execute c: SELECT z", None),
            ("duration: 4 ms  execute a: SELECT x", None),
        ]);
        assert_eq!(ended, [Some(6.0), Some(4.0)]);
    }

    #[test]
    fn a_duration_alone_is_of_the_statement_that_began() {
        let ended = run(&[
            ("statement: SELECT x", None),
            ("duration: 1 ms", None),
            ("duration: 1 ms  parse <unnamed>: SELECT y", None),
            ("duration: 2 ms  bind <unnamed>: SELECT y", None),
            ("execute <unnamed>: SELECT y", None),
            ("duration: 4 ms", None),
            ("statement: COMMIT", None),
            ("duration: 1 ms", None),
            ("duration: 1 ms", None),
        ]);
        assert_eq!(ended, [Some(1.0), Some(7.0), None, Some(-1.0)]);
    }

    #[test]
    fn a_duration_alone_is_of_what_the_session_does() {
        let ended = run(&[
            ("duration: 1 ms", Some("PARSE")),
            ("duration: 2 ms", Some("BIND")),
            ("duration: 4 ms", Some("SELECT")),
            ("duration: 2 ms", Some("BIND")),
            ("duration: 4 ms", Some("UPDATE")),
            ("duration: 8 ms", Some("BEGIN")),
            ("duration: 8 ms", Some("CREATE TABLE")),
        ]);
        assert_eq!(ended, [Some(7.0), Some(6.0), None, None]);
    }

    #[test]
    fn sessions_are_bounded() {
        let mut sessions = LoggedSessions::default();
        for pid in 0..3 * u32::try_from(MOST).unwrap() {
            let message = duration::parse("duration: 1 ms  parse a: SELECT x").unwrap();
            sessions.take(Some(pid), None, &message).unwrap();
        }
        assert!(sessions.open.len() <= MOST);
    }
}
