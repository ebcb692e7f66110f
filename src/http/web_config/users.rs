//! Users and their passwords, hashed with bcrypt.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::file::{Scalar, Unique};

/// The highest cost of a hash that is still cheap: a quarter of a second.
const CHEAP: u32 = 12;

/// The users who may ask, by name.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, (String, u32)>,
    /// The places of hashes that names without a user are checked against.
    stand_ins: Vec<String>,
    /// Chooses among them, so that nobody can tell beforehand.
    chooser: RandomState,
}

/// A hash that a password is compared with.
pub(super) struct Hash<'a> {
    pub(super) text: &'a str,
    /// Set if it is the user's, and not one that stands in where there is no user.
    pub(super) is_own: bool,
    pub(super) is_costly: bool,
}

impl Users {
    /// Takes users whose hashes can be checked; an error names the user whose cannot.
    pub(super) fn new(users: &Unique<Scalar>) -> Result<Self, String> {
        let cost = |name: &str, hash: &str| {
            HashParts::from_str(hash).map(|parts| parts.get_cost()).map_err(|_| wrong(name))
        };
        let hashes = users
            .0
            .iter()
            .map(|(name, Scalar(hash))| Ok((name.clone(), (hash.clone(), cost(name, hash)?))));
        let hashes: BTreeMap<_, _> = hashes.collect::<Result<_, String>>()?;
        let cheapest = hashes.values().map(|(_, cost)| *cost).min().unwrap_or_default();
        let stand_ins = hashes.iter().filter(|(_, (_, cost))| *cost <= cheapest.max(CHEAP));
        let stand_ins = stand_ins.map(|(name, _)| name.clone()).collect();
        Ok(Self { hashes, stand_ins, chooser: RandomState::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash that a user's password is compared with. Where there is no such user it is the hash
    /// of another, so that time does not tell who there is; but none that takes long, so that
    /// invented names cost no more than the users' own.
    pub(super) fn hash(&self, name: &str) -> Hash<'_> {
        let own = self.hashes.get(name);
        let (text, cost) = own
            .or_else(|| self.stand_in(name))
            .map_or(("", 0), |(text, cost)| (text.as_str(), *cost));
        Hash { text, is_own: own.is_some(), is_costly: cost > CHEAP }
    }

    fn stand_in(&self, name: &str) -> Option<&(String, u32)> {
        let place = self.chooser.hash_one(name) % (self.stand_ins.len().max(1) as u64);
        let chosen = usize::try_from(place).ok().and_then(|place| self.stand_ins.get(place))?;
        self.hashes.get(chosen)
    }
}

/// No name has a colon: behind it is what should have been a value, had there been a space.
fn wrong(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    format!(
        "basic_auth_users: what user {name:?} has is not a bcrypt hash (htpasswd -nB makes one)"
    )
}

/// Name and password of a request, when there is exactly one header and it is well made.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
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
pub(super) mod examples {
    use super::*;

    pub(crate) fn users(all: &[(&str, &str, u32)]) -> Users {
        let hash = |password: &str, cost| Scalar(bcrypt::hash(password, cost).unwrap());
        let all = all.iter().map(|(name, password, cost)| ((*name).into(), hash(password, *cost)));
        Users::new(&Unique(all.collect())).unwrap()
    }

    pub(crate) fn basic(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", BASE64_STANDARD.encode(text));
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::examples::users;
    use super::*;

    #[test]
    fn what_should_have_been_a_hash_is_not_repeated() {
        for text in ["{ bob: hush }", "{ bob:hush }"] {
            let users: Unique<Scalar> = yaml_serde::from_str(text).unwrap();
            let error = Users::new(&users).err().unwrap();
            assert!(error.contains("\"bob\"") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_without_showing_it() {
        let users = Unique([("a".into(), Scalar("hunter2".into()))].into());
        let error = Users::new(&users).err().unwrap();
        assert!(error.contains("\"a\"") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_invented_name_costs_what_some_user_costs_but_never_much() {
        let mut users = users(&[("a", "x", 4), ("b", "y", 5)]);
        let costly = bcrypt::hash("z", 4).unwrap().replacen("$04$", "$18$", 1);
        users.hashes.insert("c".into(), (costly, 18));
        let costs = (0..200).map(|number| {
            let hash = users.hash(&number.to_string());
            assert!(!hash.is_own && !hash.is_costly);
            hash.text.split('$').nth(2).unwrap().to_owned()
        });
        let costs: std::collections::BTreeSet<_> = costs.collect();
        assert_eq!(costs.into_iter().collect::<Vec<_>>(), ["04", "05"]);
        assert!(users.hash("c").is_own && users.hash("c").is_costly);
    }
}
