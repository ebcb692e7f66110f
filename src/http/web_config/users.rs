//! Users and their passwords, hashed with bcrypt.
//!
//! bcrypt is slow on purpose, so it runs beside the runtime, one at a time, and its verdicts are
//! remembered. A user who does not exist costs as much as one who does.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::file::{Scalar, Unique};

/// How many verdicts are remembered.
const REMEMBERED: usize = 100;

/// Who may ask, by name.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// The hash that takes longest to check, for users who do not exist.
    costliest: String,
}

impl Users {
    /// Takes users whose hashes can be checked; an error names the user whose cannot.
    pub(super) fn of(users: &Unique<Scalar>) -> Result<Self, String> {
        let mut costs = Vec::new();
        for (name, Scalar(hash)) in &users.0 {
            let parts = HashParts::from_str(hash);
            let parts = parts.map_err(|_| wrong(name))?;
            costs.push((parts.get_cost(), hash));
        }
        let costliest = costs.into_iter().max().map(|(_, hash)| hash.clone()).unwrap_or_default();
        let hashes = users.0.iter().map(|(name, hash)| (name.clone(), hash.0.clone())).collect();
        Ok(Self { hashes, costliest })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// No name has a colon: behind it is what should have been a value, had there been a space.
fn wrong(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    format!(
        "basic_auth_users: what user {name:?} has is not a bcrypt hash (htpasswd -nB makes one)"
    )
}

/// Checks passwords and remembers the verdicts.
#[derive(Default)]
pub(super) struct Gate {
    verdicts: Mutex<HashMap<[u8; 32], bool>>,
    turn: tokio::sync::Mutex<()>,
}

impl Gate {
    /// Whether a request comes from one of the users.
    pub(super) async fn admits(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else { return false };
        let known = users.hashes.get(&name);
        let hash = known.unwrap_or(&users.costliest);
        self.verdict(&name, hash, password).await && known.is_some()
    }

    async fn verdict(&self, name: &str, hash: &str, password: Vec<u8>) -> bool {
        let key = key([name.as_bytes(), hash.as_bytes(), &password]);
        if let Some(verdict) = self.remembered(&key) {
            return verdict;
        }
        let _turn = self.turn.lock().await;
        if let Some(verdict) = self.remembered(&key) {
            return verdict;
        }
        let hash = hash.to_owned();
        let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash));
        let verdict = matches!(checked.await, Ok(Ok(true)));
        self.remember(key, verdict);
        verdict
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<bool> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// Remembers a verdict; where there are too many, a tenth is forgotten, whichever.
    fn remember(&self, key: [u8; 32], verdict: bool) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= REMEMBERED {
            let forgotten: Vec<_> = verdicts.keys().take(REMEMBERED / 10).copied().collect();
            for key in forgotten {
                verdicts.remove(&key);
            }
        }
        verdicts.insert(key, verdict);
    }
}

/// A key no two different triples share: each part goes in with its length. Joined without, one
/// user's wrong password could be remembered as another's right one (CVE-2022-46146).
fn key(parts: [&[u8]; 3]) -> [u8; 32] {
    let hash = parts.into_iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update((part.len() as u64).to_le_bytes()).chain_update(part)
    });
    hash.finalize().into()
}

/// Name and password of a request, when there is exactly one header and it is well made.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (header, None) = (all.next()?, all.next()) else { return None };
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(encoded));
    let mut decoded = decoded?.ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let password = decoded.split_off(colon + 1);
    decoded.pop();
    Some((String::from_utf8(decoded).ok()?, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn users(all: &[(&str, &str, u32)]) -> Users {
        let hash = |password: &str, cost| Scalar(bcrypt::hash(password, cost).unwrap());
        let all = all.iter().map(|(name, password, cost)| ((*name).into(), hash(password, *cost)));
        Users::of(&Unique(all.collect())).unwrap()
    }

    fn basic(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", BASE64_STANDARD.encode(text));
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_user_opens() {
        let (gate, users) = (Gate::default(), users(&[("dave", "dave:123", 4), ("carol", "c", 5)]));
        for round in ["cold", "remembered"] {
            assert!(gate.admits(&users, &basic("dave:dave:123")).await, "{round}");
            for wrong in ["dave:", "dave:c", "nobody:c", ":", "dave", "", "carol:dave:123"] {
                assert!(!gate.admits(&users, &basic(wrong)).await, "{round} {wrong}");
            }
        }
        assert!(!gate.admits(&users, &HeaderMap::new()).await);
    }

    #[test]
    fn what_should_have_been_a_hash_is_not_repeated() {
        for text in ["{ bob: hush }", "{ bob:hush }"] {
            let users: Unique<Scalar> = yaml_serde::from_str(text).unwrap();
            let error = Users::of(&users).err().unwrap();
            assert!(error.contains("\"bob\"") && !error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn every_prefix_of_bcrypt_is_known() {
        let hash = bcrypt::hash("x", 4).unwrap();
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = hash.replacen("$2b$", prefix, 1);
            let users = Users::of(&Unique([("a".into(), Scalar(hash))].into())).unwrap();
            assert!(Gate::default().admits(&users, &basic("a:x")).await, "{prefix}");
        }
    }

    #[test]
    fn parts_joined_otherwise_are_another_key() {
        assert_ne!(key([b"a", b"bc", b"d"]), key([b"ab", b"c", b"d"]));
        assert_ne!(key([b"", b"a", b""]), key([b"a", b"", b""]));
    }

    #[tokio::test]
    async fn many_at_once_are_checked_once() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 8)]));
        let began = Instant::now();
        assert!(gate.admits(&users, &basic("a:x")).await);
        let once = began.elapsed();
        let gate = Gate::default();
        let (began, headers) = (Instant::now(), basic("a:x"));
        let all = futures_util::future::join_all((0..300).map(|_| gate.admits(&users, &headers)));
        assert!(all.await.into_iter().all(|admitted| admitted));
        assert!(began.elapsed() < once * 100, "{:?} for 300, {once:?} for one", began.elapsed());
    }

    #[tokio::test]
    async fn only_so_much_is_remembered() {
        let (gate, users) = (Gate::default(), users(&[("a", "x", 4)]));
        for number in 0..REMEMBERED + 20 {
            gate.admits(&users, &basic(&format!("a:{number}"))).await;
        }
        assert!(gate.verdicts.lock().unwrap().len() <= REMEMBERED);
        assert!(gate.admits(&users, &basic("a:x")).await);
    }

    #[test]
    fn what_is_no_hash_is_refused_without_showing_it() {
        let users = Unique([("a".into(), Scalar("hunter2".into()))].into());
        let error = Users::of(&users).err().unwrap();
        assert!(error.contains("\"a\"") && !error.contains("hunter2"), "{error}");
    }
}
