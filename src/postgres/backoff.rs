//! Spaces the attempts to reach a server, whoever of poolwatch asks: all sources of a server and a
//! role go one at a time, share one failure for a moment, and a login that was refused is not
//! repeated until the password is another or a while has gone by, so that no account is locked.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Secret;

/// The time for which a failure holds for every caller: a little less than the shortest interval.
const SHARED: Duration = Duration::from_millis(900);
/// The time for which a refused login is not repeated: the first time, and at most.
const FIRST: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_mins(1);
/// The key that stands for all that is asked of a server.
pub(super) const SERVER: &str = "";
/// Of so many questions failures are kept.
const QUESTIONS: usize = 1000;

/// A server and a role on it. One failure is worth as much to all who ask.
#[derive(Debug)]
pub(super) struct Backoff<F> {
    hasher: RandomState,
    /// One connects at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    state: Mutex<State<F>>,
}

#[derive(Debug)]
struct State<F> {
    /// The failures by what was asked for, such as one database, which may be refused alone.
    recent: HashMap<String, (Instant, F)>,
    refused: Option<RefusedLogin<F>>,
}

#[derive(Debug)]
struct RefusedLogin<F> {
    count: u32,
    until: Instant,
    password: u64,
    failure: F,
}

impl<F: Clone> Backoff<F> {
    fn new() -> Self {
        let state = State { recent: HashMap::new(), refused: None };
        Self {
            hasher: RandomState::new(),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fingerprint(&self, password: Option<&Secret>) -> u64 {
        self.hasher.hash_one(password.map(Secret::reveal))
    }

    /// A failure that holds still, so that nothing need be tried. `passwords` are those that would
    /// be tried now.
    pub(super) fn holds(&self, question: &str, password: Option<&Secret>) -> Option<F> {
        let state = self.state();
        if let Some(refused) = &state.refused {
            if refused.password == self.fingerprint(password) && refused.until > Instant::now() {
                return Some(refused.failure.clone());
            }
            if refused.password != self.fingerprint(password) {
                return None;
            }
        }
        let recent = [SERVER, question].into_iter().filter_map(|key| state.recent.get(key));
        let mut recent = recent.filter(|(at, _)| at.elapsed() < SHARED);
        recent.next().map(|(_, failure)| failure.clone())
    }

    /// A login was refused.
    pub(super) fn refused(&self, password: Option<&Secret>, failure: F) {
        let password = self.fingerprint(password);
        let mut state = self.state();
        let before = state.refused.as_ref().filter(|before| before.password == password);
        let count = before.map_or(0, |before| before.count + 1);
        let until = Instant::now() + delay(count);
        state.refused = Some(RefusedLogin { count, until, password, failure });
    }

    /// Anything else failed: for one question, or for [`SERVER`].
    pub(super) fn failed(&self, question: &str, failure: F) {
        let mut state = self.state();
        if state.recent.len() >= QUESTIONS {
            state.recent.retain(|_, (at, _)| at.elapsed() < SHARED);
        }
        if state.recent.len() < QUESTIONS {
            state.recent.insert(question.to_owned(), (Instant::now(), failure));
        }
    }

    /// It went well.
    pub(super) fn succeeded(&self, question: &str) {
        let mut state = self.state();
        state.recent.remove(question);
        state.recent.remove(SERVER);
        state.refused = None;
    }
}

/// The time before something that failed so often is tried again.
pub(super) fn delay(count: u32) -> Duration {
    (FIRST * 2_u32.pow(count.min(4))).min(LONGEST)
}

/// All that are in use, so that several names of one server in the settings count as one.
pub(super) struct Registry<F: 'static>(
    pub(super) LazyLock<Mutex<HashMap<String, Weak<Backoff<F>>>>>,
);

impl<F: Clone> Registry<F> {
    /// The backoff of one server and role.
    pub(super) fn entry(&self, server: &str) -> Arc<Backoff<F>> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, backoff| backoff.strong_count() > 0);
        if let Some(backoff) = servers.get(server).and_then(Weak::upgrade) {
            return backoff;
        }
        let backoff = Arc::new(Backoff::new());
        servers.insert(server.to_owned(), Arc::downgrade(&backoff));
        backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_waits_unless_the_password_is_another() {
        let backoff = Backoff::new();
        let (old, new) = (Secret::from("old".to_owned()), Secret::from("new".to_owned()));
        assert_eq!(backoff.holds("d", Some(&old)), None::<&str>);
        backoff.refused(Some(&old), "refused");
        assert_eq!(backoff.holds("d", Some(&old)), Some("refused"));
        assert_eq!(backoff.holds("other", Some(&old)), Some("refused"), "of the whole server");
        assert_eq!(backoff.holds("d", Some(&new)), None);
        backoff.succeeded("d");
        assert_eq!(backoff.holds("d", Some(&old)), None);
    }

    #[test]
    fn another_failure_is_of_one_database_and_short() {
        let backoff = Backoff::new();
        backoff.failed("d", "no such database");
        assert_eq!(backoff.holds("d", None), Some("no such database"));
        assert_eq!(backoff.holds("other", None), None);
        backoff.failed(SERVER, "unreachable");
        assert_eq!(backoff.holds("other", None), Some("unreachable"));
    }
}
