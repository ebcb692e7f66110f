//! The figures of each database. A name counts once the server has such a database: whoever may connect, without a login even, can put any name into the log.

use std::collections::{BTreeMap, HashSet};

use tokio::time::Instant;

use super::super::parse::CancelReason;
use super::lock_waits::Waits;
use crate::collectors::OTHER;
use crate::latency::{Above, AboveByDatabase, BOUNDS, Histogram, Weighted};
use crate::window::Window;

/// More databases than these are one.
pub(super) const DATABASES: usize = 100;
/// More classes of errors than there are.
pub(super) const CLASSES: usize = 60;

/// Every database's account.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    confirmed: BTreeMap<String, Account>,
    /// Of names that the server did not have when it was asked.
    unconfirmed: BTreeMap<String, Account>,
    /// The databases that the server has, when it was asked.
    databases: Option<HashSet<String>>,
    /// Messages that were counted under [`OTHER`].
    pub(super) aggregated: u64,
}

/// The figures of one database's sessions.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) durations: Weighted,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) canceled: [u64; CancelReason::ALL.len()],
    pub(super) waits: Waits,
    window: Window<Histogram>,
    messages: u64,
}

impl Accounts {
    /// The account of a database, from when it is first spoken of; `None` when there are too many
    /// names that the server does not know.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Account> {
        let name = self.spelled(name);
        if name.is_empty() || self.databases.as_ref().is_none_or(|names| names.contains(&*name)) {
            let account = self.confirmed_mut(&name);
            account.messages += 1;
            return Some(account);
        }
        if self.unconfirmed.len() >= DATABASES && !self.unconfirmed.contains_key(&*name) {
            return None;
        }
        let account = self.unconfirmed.entry(name).or_default();
        account.messages += 1;
        Some(account)
    }

    /// True when the server has a database of this name, or one of its sessions logged something.
    pub(super) fn has(&self, name: &str) -> bool {
        let known = self.databases.as_ref().is_some_and(|names| names.contains(name));
        known || self.confirmed.contains_key(name)
    }

    fn confirmed_mut(&mut self, name: &str) -> &mut Account {
        let full = self.confirmed.len() >= DATABASES && !self.confirmed.contains_key(name);
        self.aggregated += u64::from(full);
        self.confirmed.entry(if full { OTHER } else { name }.to_owned()).or_default()
    }

    /// The name as the server spells it, where the log has it in the database's own encoding.
    fn spelled(&self, name: &str) -> String {
        let ascii = |name: &str| name.chars().filter(char::is_ascii).collect::<String>();
        let foreign = |known: &&String| !known.is_ascii() && ascii(known) == ascii(name);
        let known =
            self.databases.as_ref().filter(|known| !name.is_ascii() && !known.contains(name));
        let mut alike = known.into_iter().flatten().filter(foreign);
        match (alike.next(), alike.next()) {
            (Some(one), None) => one.clone(),
            _ => name.to_owned(),
        }
    }

    /// True when the server is to be asked for its databases, because the log has a name that it did
    /// not have.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Takes in the databases that there are, and returns the number of messages that were of others.
    pub(super) fn confirm(&mut self, databases: HashSet<String>) -> u64 {
        self.databases = Some(databases);
        let mut invented = 0;
        for (name, account) in std::mem::take(&mut self.unconfirmed) {
            let is_known = self.databases.as_ref().is_some_and(|names| names.contains(&name));
            if is_known && self.confirmed.len() < DATABASES {
                self.confirmed.insert(name, account);
            } else if is_known {
                self.aggregated += account.messages;
                self.confirmed.entry(OTHER.to_owned()).or_default().merge(&account);
            } else {
                invented += account.messages;
            }
        }
        invented
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Account)> {
        self.confirmed.iter()
    }

    /// The statements above each bound, by database; `None` where some were counted without their
    /// database.
    pub(super) fn above(&self) -> Option<AboveByDatabase> {
        let is_whole = self.aggregated == 0 && self.unconfirmed.is_empty();
        let above = self.confirmed.iter().map(|(name, account)| (name, account.durations.above()));
        let nameless = |name: &str, above: &Above| name.is_empty() && above[0] > 0;
        let mut each = above.clone();
        let is_named = !each.any(|(name, above)| nameless(name, &above));
        (is_whole && is_named).then(|| above.map(|(name, above)| (name.clone(), above)).collect())
    }

    /// The durations of statements in the last five minutes, by database.
    pub(super) fn recent(&mut self, now: Instant) -> impl Iterator<Item = (&String, Histogram)> {
        self.confirmed.iter_mut().map(move |(name, account)| (name, account.recent(now.into_std())))
    }
}

impl Account {
    /// Counts an error of this class.
    pub(super) fn error(&mut self, class: &str) {
        let full = self.errors.len() >= CLASSES && !self.errors.contains_key(class);
        let class = if full { OTHER } else { class };
        match self.errors.get_mut(class) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(class.to_owned(), 1)),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.durations.merge(&other.durations);
        for (class, count) in &other.errors {
            *self.errors.entry(class.clone()).or_default() += count;
        }
        for (sum, count) in self.canceled.iter_mut().zip(other.canceled) {
            *sum += count;
        }
        self.waits.merge(&other.waits);
        self.messages += other.messages;
    }

    fn recent(&mut self, now: std::time::Instant) -> Histogram {
        let all = self.durations.histogram();
        let (recent, reached) = match self.window.first(now) {
            Some(then) => (all.since(then), all),
            // A database is counted from its first message on: before that there was nothing.
            None => (all, Histogram::new(BOUNDS)),
        };
        self.window.keep(now, || reached);
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn names(accounts: &Accounts) -> Vec<&str> {
        accounts.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_name_counts_once_the_server_has_it() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.confirm(known(&["a"])), 0);
        for name in ["a", "new", "invented", "invented", ""] {
            accounts.get_mut(name).unwrap().error("22");
        }
        assert_eq!((names(&accounts), accounts.is_in_doubt()), (vec!["", "a"], true));
        assert_eq!(accounts.confirm(known(&["a", "new"])), 2);
        assert_eq!((names(&accounts), accounts.is_in_doubt()), (vec!["", "a", "new"], false));
        assert_eq!(accounts.confirmed["new"].errors["22"], 1, "nothing of it is lost");
    }

    #[test]
    fn invented_names_are_bounded_and_push_nothing_out() {
        let mut accounts = Accounts::default();
        accounts.confirm(known(&["a"]));
        let kept = (0..500).filter(|n| accounts.get_mut(&format!("d{n}")).is_some()).count();
        assert_eq!((kept, names(&accounts).len()), (DATABASES, 0));
        accounts.get_mut("a").unwrap();
        assert_eq!((names(&accounts), accounts.aggregated), (vec!["a"], 0));
    }

    #[test]
    fn a_name_in_the_databases_own_encoding_is_the_servers() {
        let mut accounts = Accounts::default();
        accounts.confirm(known(&["café", "plain"]));
        let in_latin1 = String::from_utf8_lossy(b"caf\xe9").into_owned();
        accounts.get_mut(&in_latin1).unwrap();
        assert_eq!(names(&accounts), ["café"]);
    }
}
