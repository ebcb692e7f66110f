//! Checks passwords, beside the runtime and beside the threads that resolve names, and remembers
//! the results.
//!
//! bcrypt is slow on purpose, so whoever sends wrong passwords makes work. Who waits for it is served
//! in an order that is fair to each client; what nobody waits for is not checked.

use std::collections::{HashMap, VecDeque};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::lane::{Check, Key, Lane};
use super::users::{Hash, Users, credentials};
use crate::http::client::Client;

/// The number of wrong passwords that are remembered.
const REMEMBERED: usize = 1000;

/// The outcome of a request's name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Admitted,
    Refused,
    /// So many others are being checked that this one was given up.
    Busy,
}

/// Checks passwords and remembers the results.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The last right password of each user: no wrong one drives it out.
    right: HashMap<String, Key>,
    wrong: VecDeque<Key>,
    /// A hash that takes seconds must not keep the others waiting.
    cheap: Lane,
    costly: Lane,
    /// The number of passwords that were compared with a hash.
    checked: u64,
}

impl Gate {
    /// Returns whether a request comes from one of the users.
    pub(super) async fn admits(
        &self,
        client: Client,
        users: &Users,
        headers: &HeaderMap,
    ) -> Admission {
        let Some((name, password)) = credentials(headers) else { return Admission::Refused };
        let hash = users.hash(&name);
        match self.check(client, name, &hash, password).await {
            Ok(true) if hash.is_own => Admission::Admitted,
            Ok(_) => Admission::Refused,
            Err(_) => Admission::Busy,
        }
    }

    async fn check(
        &self,
        client: Client,
        name: String,
        hash: &Hash<'_>,
        password: Vec<u8>,
    ) -> Result<bool, oneshot::error::RecvError> {
        let key = key([name.as_bytes(), hash.text.as_bytes(), &password]);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state();
            if let Some(is_right) = state.remembered(&name, &key) {
                return Ok(is_right);
            }
            let (hash_text, answers) = (hash.text.to_owned(), vec![answer]);
            let check = Check { client, key, name, hash: hash_text, password, answers };
            let lane = state.lane(hash.is_costly);
            lane.push(check);
            if !lane.runs {
                lane.runs = self.start(hash.is_costly);
                // Nobody will ever work on them.
                if !lane.runs {
                    lane.clear();
                }
            }
        }
        answered.await
    }

    /// Starts a lane's thread, which ends when nothing is left to check.
    fn start(&self, costly: bool) -> bool {
        let gate = self.clone();
        let thread = thread::Builder::new().name("passwords".into());
        thread.spawn(move || while gate.check_one(costly) {}).is_ok()
    }

    /// Checks the next password that somebody waits for; `false` when there is none.
    fn check_one(&self, costly: bool) -> bool {
        let Some(check) = self.state().next(costly) else { return false };
        let Check { key, name, hash, password, answers, .. } = check;
        let remembered = self.state().remembered(&name, &key);
        let is_right = remembered.unwrap_or_else(|| {
            let compared = catch_unwind(|| bcrypt::verify(password, &hash));
            let is_right = matches!(compared, Ok(Ok(true)));
            self.state().remember(name, key, is_right);
            is_right
        });
        for answer in answers {
            // Who asked may have gone meanwhile.
            let _ = answer.send(is_right);
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, costly: bool) -> &mut Lane {
        if costly { &mut self.costly } else { &mut self.cheap }
    }

    /// The next check of a lane, whose thread ends where there is none.
    fn next(&mut self, costly: bool) -> Option<Check> {
        let lane = self.lane(costly);
        let next = lane.pop();
        lane.runs = next.is_some();
        next
    }

    fn remembered(&self, name: &str, key: &Key) -> Option<bool> {
        let right = self.right.get(name) == Some(key);
        (right || self.wrong.contains(key)).then_some(right)
    }

    fn remember(&mut self, name: String, key: Key, is_right: bool) {
        self.checked += 1;
        if is_right {
            self.right.insert(name, key);
            return;
        }
        if self.wrong.len() >= REMEMBERED {
            self.wrong.pop_front();
        }
        self.wrong.push_back(key);
    }
}

/// A key no two different triples share: each part goes in with its length. Joined without, one
/// user's wrong password could be remembered as another's right one (CVE-2022-46146).
fn key(parts: [&[u8]; 3]) -> Key {
    let hash = parts.into_iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update((part.len() as u64).to_le_bytes()).chain_update(part)
    });
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::web_config::users::examples::{basic, users};
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::pin::pin;

    async fn admits(gate: &Gate, users: &Users, text: &str) -> bool {
        gate.admits(client(1), users, &basic(text)).await == Admission::Admitted
    }

    fn client(last: u8) -> Client {
        Client(std::net::IpAddr::from([10, 0, 0, last]))
    }

    fn checked(gate: &Gate) -> u64 {
        gate.state().checked
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_user_opens() {
        let (gate, users) = (Gate::default(), users(&[("dave", "dave:123", 4), ("carol", "c", 5)]));
        for round in ["cold", "remembered"] {
            assert!(admits(&gate, &users, "dave:dave:123").await, "{round}");
            for wrong in ["dave:", "dave:c", "nobody:c", ":", "dave", "", "carol:dave:123"] {
                assert!(!admits(&gate, &users, wrong).await, "{round} {wrong}");
            }
        }
        assert_eq!(gate.admits(client(1), &users, &HeaderMap::new()).await, Admission::Refused);
    }

    #[tokio::test]
    async fn every_prefix_of_bcrypt_is_known() {
        use crate::http::web_config::file::{Scalar, Unique};
        let hash = bcrypt::hash("x", 4).unwrap();
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = hash.replacen("$2b$", prefix, 1);
            let users = Users::new(&Unique([("a".into(), Scalar(hash))].into())).unwrap();
            assert!(admits(&Gate::default(), &users, "a:x").await, "{prefix}");
        }
    }

    #[test]
    fn parts_joined_otherwise_are_another_key() {
        assert_ne!(key([b"a", b"bc", b"d"]), key([b"ab", b"c", b"d"]));
        assert_ne!(key([b"", b"a", b""]), key([b"a", b"", b""]));
    }

    #[tokio::test]
    async fn many_at_once_are_checked_once() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 4)]));
        let all = join_all((0..300).map(|_| admits(&gate, &users, "a:x"))).await;
        assert!(all.into_iter().all(|admitted| admitted));
        // One may have been under way when the others came, which then found it remembered.
        assert_eq!(checked(&gate), 1);
    }

    #[tokio::test]
    async fn wrong_passwords_do_not_drive_a_right_one_out() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 4)]));
        assert!(admits(&gate, &users, "a:x").await);
        for number in 0..REMEMBERED + 20 {
            gate.state().remember("a".into(), key([&number.to_le_bytes(), b"", b""]), false);
        }
        assert_eq!(gate.state().wrong.len(), REMEMBERED);
        let before = checked(&gate);
        assert!(admits(&gate, &users, "a:x").await);
        assert_eq!(checked(&gate), before);
    }

    #[tokio::test]
    async fn a_right_password_does_not_wait_for_anothers_wrong_ones() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 4)]));
        // Their thread is late, and begins when all have asked.
        gate.state().cheap.runs = true;
        let wrong: Vec<_> = (0..110).map(|number| format!("a:{number}")).collect();
        let mut others = pin!(join_all(wrong.iter().map(|one| admits(&gate, &users, one))));
        assert_eq!((&mut others).now_or_never(), None);
        let right = basic("a:x");
        let mut later = pin!(gate.admits(client(2), &users, &right));
        let mut admission = (&mut later).now_or_never();
        while admission.is_none() {
            assert!(checked(&gate) < 3, "{} were checked before it", checked(&gate));
            assert!(gate.check_one(false));
            admission = (&mut later).now_or_never();
        }
        assert_eq!(admission, Some(Admission::Admitted));
        while gate.check_one(false) {}
        assert!(others.await.into_iter().all(|admitted| !admitted));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_checked() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 4)]));
        gate.state().cheap.runs = true;
        for number in 0..1500 {
            let text = format!("a:{number}");
            assert_eq!(admits(&gate, &users, &text).now_or_never(), None);
        }
        let mut right = pin!(admits(&gate, &users, "a:x"));
        assert_eq!((&mut right).now_or_never(), None);
        while gate.check_one(false) {}
        assert!(right.await);
        assert_eq!(checked(&gate), 1);
    }

    #[tokio::test]
    async fn a_costly_hash_keeps_only_its_own_kind_waiting() {
        let (gate, users) = (Gate::default(), users(&[("slow", "s", 13), ("a", "x", 4)]));
        // A check that never ends.
        gate.state().costly.runs = true;
        let mut slow = pin!(admits(&gate, &users, "slow:wrong"));
        assert_eq!((&mut slow).now_or_never(), None);
        assert!(admits(&gate, &users, "a:x").await);
        assert_eq!(slow.now_or_never(), None);
    }
}
