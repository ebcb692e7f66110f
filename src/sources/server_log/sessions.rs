//! What is remembered of a session between two of its messages: in the extended protocol one
//! statement has up to three durations.
//!
//! Of a statement's text no more is kept than a hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::said::{Said, Step};
use crate::latency::is_timed;

/// More sessions than this have not a statement between two messages; what is forgotten is the time
/// that parsing took.
const MOST: usize = 4096;
/// By how many bytes a statement is told from others.
const TELLING: usize = 1024;

/// A statement that was run to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// What all its steps took.
    pub(super) seconds: f64,
    /// What the last of them took, by which the server decided whether to log it.
    pub(super) last: f64,
    /// Whether it counts as a query.
    pub(super) timed: bool,
    pub(super) rows: Rows,
}

/// Which of a statement's rows were fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Rows {
    #[default]
    All,
    /// The first ones of this portal, from which more may be fetched.
    First(u64),
    /// More of this portal's.
    More(u64),
}

/// All sessions that are between two messages, by their process.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<u32, Session>,
    hashes: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// What a statement's steps took so far.
    steps: Option<(u64, f64)>,
    /// The statement that runs, whether it counts as a query, and which of its rows are fetched.
    begun: Option<(u64, bool, Rows)>,
}

/// Why a duration could not be counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Untold;

impl Sessions {
    /// Takes a message in; says whether a statement came to its end with it. One that says neither
    /// of what nor in which session is refused.
    pub(super) fn take(
        &mut self,
        process: Option<u32>,
        tag: Option<&str>,
        said: &Said<'_>,
    ) -> Result<Option<Run>, Untold> {
        match *said {
            Said::Begins(step) => {
                self.begin(process, step);
                Ok(None)
            }
            Said::Took(seconds, Step::Untold) => self.untold(process, tag, seconds),
            Said::Took(seconds, Step::Parse(text)) => {
                Ok(self.step(process, self.hash(text), seconds, true))
            }
            Said::Took(seconds, Step::Bind(text)) => {
                Ok(self.step(process, self.hash(text), seconds, false))
            }
            Said::Took(seconds, Step::Whole(text)) => {
                self.forget(process);
                Ok(Some(Run { seconds, last: seconds, timed: is_timed(text), rows: Rows::All }))
            }
            Said::Took(seconds, step) => {
                let Some((hash, timed, rows)) = self.executed(step) else { return Ok(None) };
                Ok(Some(Run { rows, ..self.end(process, hash, seconds, timed) }))
            }
        }
    }

    /// A statement failed: no duration will be told.
    pub(super) fn forget(&mut self, process: Option<u32>) {
        if let Some(process) = process {
            self.open.remove(&process);
        }
    }

    fn begin(&mut self, process: Option<u32>, step: Step<'_>) {
        let Some(begun) = self.executed(step) else { return };
        if let Some(session) = self.session(process) {
            session.begun = Some(begun);
        }
    }

    /// What is run by this step, whether it counts as a query, and which of its rows are fetched.
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

    fn step(&mut self, process: Option<u32>, hash: u64, seconds: f64, first: bool) -> Option<Run> {
        let session = self.session(process)?;
        let before = session.steps.filter(|(of, _)| !first && *of == hash);
        session.steps = Some((hash, seconds + before.map_or(0.0, |(_, before)| before)));
        None
    }

    fn end(&mut self, process: Option<u32>, hash: u64, last: f64, timed: bool) -> Run {
        let session = process.and_then(|process| self.open.remove(&process)).unwrap_or_default();
        let before = session.steps.filter(|(of, _)| *of == hash).map_or(0.0, |(_, before)| before);
        Run { seconds: before + last, last, timed, rows: Rows::All }
    }

    /// A duration alone is of the statement that began before, or of what the session is doing.
    fn untold(
        &mut self,
        process: Option<u32>,
        tag: Option<&str>,
        seconds: f64,
    ) -> Result<Option<Run>, Untold> {
        let open = process.and_then(|process| self.open.get(&process));
        if let Some((hash, timed, rows)) = open.and_then(|session| session.begun) {
            return Ok(Some(Run { rows, ..self.end(process, hash, seconds, timed) }));
        }
        // No text hashes to nothing.
        match tag {
            None => Err(Untold),
            Some("PARSE") => Ok(self.step(process, 0, seconds, true)),
            Some("BIND") => Ok(self.step(process, 0, seconds, false)),
            // Of what the statement is about only its command is known.
            Some(tag) => Ok(Some(self.end(process, 0, seconds, is_timed(&format!("{tag} …"))))),
        }
    }

    fn session(&mut self, process: Option<u32>) -> Option<&mut Session> {
        let process = process?;
        if self.open.len() >= MOST && !self.open.contains_key(&process) {
            self.open.clear();
        }
        Some(self.open.entry(process).or_default())
    }

    fn hash(&self, text: &str) -> u64 {
        self.hashes.hash_one(&text.as_bytes()[..text.len().min(TELLING)]).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    /// What the statements took that ended with these messages of process 7, in milliseconds.
    fn run(messages: &[(&str, Option<&str>)]) -> Vec<Option<f64>> {
        let mut sessions = Sessions::default();
        let ended = messages.iter().filter_map(|(message, tag)| {
            let said = said::of(message).unwrap();
            match sessions.take(Some(7), *tag, &said) {
                Ok(run) => run.map(|run| run.timed.then_some((1000.0 * run.seconds).round())),
                Err(Untold) => Some(Some(-1.0)),
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
    fn what_parsing_another_took_is_not_counted() {
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
        let mut sessions = Sessions::default();
        for process in 0..3 * u32::try_from(MOST).unwrap() {
            let said = said::of("duration: 1 ms  parse a: SELECT x").unwrap();
            sessions.take(Some(process), None, &said).unwrap();
        }
        assert!(sessions.open.len() <= MOST);
    }
}
