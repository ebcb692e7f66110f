//! The servers that answer: one deadline for all that is read of a server, however rarely it is
//! read.
//!
//! The probe asks each second. While it has no answer, nothing else is asked of its server; what
//! was read before stays for [`SILENCE`] at most, and then all of it goes together.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

use crate::reading::SessionFailure;
use poolwatch_client::AcquireError;

/// A server whose probe fails and of which nothing was read for so long does not answer. A moment
/// in which one probe comes late costs no figures.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The time after which the same trouble is logged again.
const QUIET: Duration = Duration::from_mins(5);

/// The time for which a server must have refused sessions before that is shown: a burst of
/// connections is no trouble. It is shown for as long after the last refusal, by when sources that
/// had no session have tried again.
const REFUSAL: Duration = Duration::from_mins(1);

/// The time for which a server that answered counts as another's: an attempt to become its leader that
/// fails meanwhile says nothing of it.
const STANDBY: Duration = Duration::from_secs(20);

/// The servers that have a probe, by name.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_name: HashMap<String, ProbedServer>,
}

#[derive(Debug, Default)]
struct ProbedServer {
    state: State,
    /// The last time at which something was read of it; `None` before the first.
    answered: Option<Instant>,
    /// A source had no session, and the probe has not reported it.
    trouble: Option<String>,
    /// The trouble that was reported, and the time of the report.
    reported: Option<(String, Instant)>,
    /// The refusals of sessions for everybody.
    refusal: Option<Refusal>,
    /// Set while this poolwatch is its leader.
    leads: bool,
    /// The last time at which it answered and this poolwatch was not its leader.
    stood_by: Option<Instant>,
}

/// Refusals that followed each other.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// The reason of the last one.
    failure: SessionFailure,
    first: Instant,
    last: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first probe is under way.
    #[default]
    Awaited,
    /// The last probe was answered.
    Answering,
    /// The last probe failed; what was read before is still shown.
    Doubtful,
    /// Nothing is shown of it.
    Silent,
}

/// The news of a good probe, beyond that the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It answers again, and nothing of it is shown.
    AnswersAgain,
    /// It answers over the sessions that poolwatch has, and refuses new ones for this reason.
    Refuses(String),
}

/// The part of this poolwatch in reading a server that has an elected leader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leadership {
    /// As it was.
    Same,
    /// It has become the leader.
    Began,
    /// It is the leader no more.
    Ended,
    /// The server answers, and another is to speak of it.
    StoodBy,
}

impl Servers {
    /// Expects these and no others; the state of those that stay is kept.
    pub(super) fn expect<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut before = std::mem::take(&mut self.by_name);
        self.by_name =
            names.map(|name| (name.to_owned(), before.remove(name).unwrap_or_default())).collect();
    }

    /// Returns true if its sources are to be read. A server without a probe is always asked.
    pub(super) fn answers(&self, name: &str) -> bool {
        self.by_name.get(name).is_none_or(|server| server.state == State::Answering)
    }

    /// Takes in whether this poolwatch is its leader.
    pub(super) fn lead(&mut self, name: &str, leads: bool) -> Leadership {
        let stood_by = self.stands_by(name);
        let Some(server) = self.by_name.get_mut(name) else { return Leadership::Same };
        let led = std::mem::replace(&mut server.leads, leads);
        let answers = server.state == State::Answering;
        if !leads && answers {
            server.stood_by = Some(Instant::now());
        }
        match (led, leads) {
            (false, true) => Leadership::Began,
            (true, false) => Leadership::Ended,
            (false, false) if answers && !stood_by => Leadership::StoodBy,
            _ => Leadership::Same,
        }
    }

    /// Returns true while it is for another poolwatch to speak of it.
    pub(super) fn stands_by(&self, name: &str) -> bool {
        let server = self.by_name.get(name).filter(|server| !server.leads);
        let stood_by = server.and_then(|server| server.stood_by);
        stood_by.is_some_and(|at| at.elapsed() < STANDBY)
    }

    /// Takes in how the probe went.
    pub(super) fn probed(&mut self, name: &str, answered: bool) -> Option<News> {
        let server = self.by_name.get_mut(name)?;
        if !answered {
            (server.trouble, server.reported, server.refusal) = (None, None, None);
            if server.state != State::Silent {
                server.state = State::Doubtful;
            }
            return None;
        }
        server.answered = Some(Instant::now());
        let before = std::mem::replace(&mut server.state, State::Answering);
        let refuses = server.refuses();
        match before {
            State::Silent => Some(News::AnswersAgain),
            _ => refuses,
        }
    }

    /// Takes in that something else was read of it.
    pub(super) fn read(&mut self, name: &str) {
        let Some(server) = self.by_name.get_mut(name) else { return };
        server.answered = Some(Instant::now());
        if server.state == State::Silent {
            server.state = State::Doubtful;
        }
    }

    /// Takes in that a source had no session, where the probe has not failed meanwhile.
    pub(super) fn had_no_session(&mut self, name: &str, error: String, failure: SessionFailure) {
        if let Some(server) = self.by_name.get_mut(name)
            && server.state == State::Answering
        {
            server.trouble = Some(error);
            if failure.is_of_whole_server() {
                let last = Instant::now();
                let before = server.refusal.filter(|before| before.last.elapsed() < REFUSAL);
                let first = before.map_or(last, |before| before.first);
                server.refusal = Some(Refusal { failure, first, last });
            }
        }
    }

    /// The reason why a server that answers has been refusing new sessions.
    pub(super) fn refusal(&self, name: &str) -> Option<SessionFailure> {
        let server = self.by_name.get(name).filter(|server| server.state == State::Answering)?;
        let refusal = server.refusal.filter(|refusal| refusal.last.elapsed() < REFUSAL)?;
        (refusal.last - refusal.first >= REFUSAL).then_some(refusal.failure)
    }

    /// Those that do not answer since now.
    pub(super) fn fallen_silent(&mut self) -> Vec<String> {
        let late = |server: &ProbedServer| server.answered.is_none_or(|at| at.elapsed() >= SILENCE);
        let silent = self.by_name.iter_mut().filter(|(_, s)| s.state == State::Doubtful && late(s));
        silent
            .map(|(name, server)| {
                server.state = State::Silent;
                name.clone()
            })
            .collect()
    }
}

impl ProbedServer {
    /// The trouble since the last probe, where it is another than the one reported.
    fn refuses(&mut self) -> Option<News> {
        let trouble = self.trouble.take()?;
        let reported = self.reported.replace((trouble.clone(), Instant::now()));
        let repeated =
            reported.is_some_and(|(reported, at)| reported == trouble && at.elapsed() < QUIET);
        (!repeated).then_some(News::Refuses(trouble))
    }
}

/// The reason why a reading had no session, if it failed of that: every source of the server then
/// fails alike, whatever each of them says of it.
pub(super) fn without_session<'a>(
    failure: &'a (dyn Error + 'static),
) -> Option<&'a (dyn Error + 'static)> {
    match failure.downcast_ref::<AcquireError>() {
        Some(AcquireError::Timeout { .. }) => None,
        Some(_) => Some(failure),
        None => failure.source().and_then(without_session),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const FULL: SessionFailure = SessionFailure::TooManyConnectionsServer;

    fn one() -> Servers {
        let mut servers = Servers::default();
        servers.expect(["primary"].into_iter());
        servers
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_of_a_server_before_its_first_probe() {
        let mut servers = one();
        assert!(!servers.answers("primary") && servers.answers("of no server"));
        assert_eq!(servers.probed("primary", true), None);
        assert!(servers.answers("primary"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_late_probe_costs_no_figures() {
        let mut servers = one();
        servers.probed("primary", true);
        advance(SILENCE / 2).await;
        servers.probed("primary", false);
        assert!(!servers.answers("primary"));
        assert!(servers.fallen_silent().is_empty());
        assert_eq!(servers.probed("primary", true), None);
        assert!(servers.answers("primary"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_falls_silent_once_after_its_last_answer() {
        let mut servers = one();
        servers.probed("primary", true);
        servers.probed("primary", false);
        advance(SILENCE / 2).await;
        servers.read("primary");
        advance(SILENCE / 2).await;
        assert!(servers.fallen_silent().is_empty(), "something was read of it meanwhile");
        advance(SILENCE / 2).await;
        assert_eq!(servers.fallen_silent(), ["primary"]);
        assert!(servers.fallen_silent().is_empty());
        servers.probed("primary", false);
        assert!(servers.fallen_silent().is_empty());
        assert_eq!(servers.probed("primary", true), Some(News::AnswersAgain));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answered_is_silent_at_once() {
        let mut servers = one();
        assert!(servers.fallen_silent().is_empty(), "it was not asked yet");
        servers.probed("primary", false);
        assert_eq!(servers.fallen_silent(), ["primary"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_late_is_shown_for_as_long_as_anything_else() {
        let mut servers = one();
        servers.probed("primary", false);
        servers.fallen_silent();
        servers.read("primary");
        assert!(servers.fallen_silent().is_empty());
        advance(SILENCE).await;
        assert_eq!(servers.fallen_silent(), ["primary"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_new_sessions_answers() {
        let mut servers = one();
        servers.probed("primary", true);
        servers.had_no_session("primary", "too many connections".to_owned(), FULL);
        let refuses = News::Refuses("too many connections".to_owned());
        assert_eq!(servers.probed("primary", true), Some(refuses));
        servers.had_no_session("primary", "too many connections".to_owned(), FULL);
        assert_eq!(servers.probed("primary", true), None, "it is reported once");
        advance(QUIET).await;
        servers.had_no_session("primary", "too many connections".to_owned(), FULL);
        assert!(servers.probed("primary", true).is_some(), "and again another time");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_shown_once_they_have_lasted_and_not_long_after() {
        let mut servers = one();
        servers.probed("primary", true);
        let mut refused_at = |second: u64| {
            servers.had_no_session("primary", "too many connections".to_owned(), FULL);
            (second, servers.refusal("primary"))
        };
        assert_eq!(refused_at(0), (0, None), "a burst");
        advance(Duration::from_secs(50)).await;
        assert_eq!(refused_at(50), (50, None));
        advance(Duration::from_secs(20)).await;
        assert_eq!(refused_at(70), (70, Some(FULL)));
        advance(REFUSAL).await;
        assert_eq!(servers.refusal("primary"), None, "it is over");
        servers.had_no_session("primary", "too many connections".to_owned(), FULL);
        assert_eq!(servers.refusal("primary"), None, "another burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_another_leads_is_spoken_of_by_nobody_else() {
        let mut servers = one();
        assert_eq!(servers.lead("primary", false), Leadership::Same, "it was not asked yet");
        servers.probed("primary", true);
        assert_eq!(servers.lead("primary", false), Leadership::StoodBy);
        assert_eq!(servers.lead("primary", false), Leadership::Same);
        assert!(servers.stands_by("primary"));
        assert_eq!(servers.lead("primary", true), Leadership::Began);
        assert!(!servers.stands_by("primary"));
        assert_eq!(servers.lead("primary", false), Leadership::Ended);
        servers.probed("primary", false);
        advance(STANDBY / 2).await;
        assert_eq!(servers.lead("primary", false), Leadership::Same);
        assert!(servers.stands_by("primary"), "an attempt that failed");
        advance(STANDBY / 2).await;
        assert!(!servers.stands_by("primary"), "there may be no leader to say that it is down");
        servers.probed("primary", true);
        assert_eq!(servers.lead("primary", false), Leadership::StoodBy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_without_an_answer_says_so_at_once() {
        let mut servers = one();
        servers.probed("primary", true);
        servers.lead("primary", true);
        servers.probed("primary", false);
        assert_eq!(servers.lead("primary", false), Leadership::Ended);
        assert!(!servers.stands_by("primary"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_ends_what_was_refused_before() {
        let mut servers = one();
        servers.probed("primary", true);
        for _ in 0..2 {
            servers.had_no_session("primary", "starting up".to_owned(), FULL);
            advance(Duration::from_secs(59)).await;
        }
        servers.had_no_session("primary", "starting up".to_owned(), FULL);
        assert_eq!(servers.refusal("primary"), Some(FULL));
        servers.probed("primary", false);
        servers.probed("primary", true);
        assert_eq!(servers.refusal("primary"), None);
    }
}
