//! The passwords that wait to be checked, one after the other, in an order that is fair to each
//! client.
//!
//! In turn come the oldest of all, so that none waits for ever, and the oldest of the client that
//! was served longest ago or never: one with a right password waits neither for the many wrong ones
//! of another client, nor for those of many clients that had their turn.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use crate::http::client::Client;

/// The number of checks that wait in a lane.
const WAITING: usize = 128;
/// The number of clients that are remembered to have had their turn.
const SERVED: usize = 256;

/// The key that distinguishes one check from another.
pub(super) type Key = [u8; 32];

/// A password that is to be compared with a hash, and those who wait for the result.
pub(super) struct Check {
    pub(super) client: Client,
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) password: Vec<u8>,
    pub(super) answers: Vec<oneshot::Sender<bool>>,
}

/// Checks that wait, the newest last.
#[derive(Default)]
pub(super) struct Lane {
    waiting: VecDeque<Check>,
    /// Set while a thread works on them.
    pub(super) runs: bool,
    /// Set if the oldest is next.
    oldest: bool,
    /// The clients that had their turn, the last one last.
    served: VecDeque<Client>,
}

impl Lane {
    /// Adds a check. Of too many the oldest gives way of the client that has most of them.
    pub(super) fn push(&mut self, mut check: Check) {
        if let Some(same) = self.waiting.iter_mut().find(|waiting| waiting.key == check.key) {
            same.answers.append(&mut check.answers);
            return;
        }
        if self.waiting.len() >= WAITING {
            let place = self.of_most();
            self.waiting.remove(place);
        }
        self.waiting.push_back(check);
    }

    /// The next check that somebody still waits for.
    pub(super) fn pop(&mut self) -> Option<Check> {
        self.waiting.retain(|check| !check.answers.iter().all(oneshot::Sender::is_closed));
        self.oldest = !self.oldest;
        let place = if self.oldest { 0 } else { self.of_longest_unserved() };
        let check = self.waiting.remove(place)?;
        self.served.retain(|client| *client != check.client);
        self.served.push_back(check.client);
        if self.served.len() > SERVED {
            self.served.pop_front();
        }
        Some(check)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The place of the oldest check of the client that was served longest ago, or never.
    fn of_longest_unserved(&self) -> usize {
        let turns: HashMap<_, _> =
            self.served.iter().enumerate().map(|(turn, client)| (client, turn)).collect();
        let clients = self.waiting.iter().enumerate();
        let first = clients.min_by_key(|(_, check)| turns.get(&check.client));
        first.map_or(0, |(place, _)| place)
    }

    /// The place of the oldest check of the client that has most of them.
    fn of_most(&self) -> usize {
        let mut checks: HashMap<Client, usize> = HashMap::new();
        self.waiting.iter().for_each(|check| *checks.entry(check.client).or_default() += 1);
        let most = checks.values().max().copied();
        let of_most = |check: &Check| checks.get(&check.client).copied() == most;
        self.waiting.iter().position(of_most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    /// Adds checks of one client, named `0`, `1` and so on behind its number.
    fn push(lane: &mut Lane, client: u8, count: usize) -> Vec<oneshot::Receiver<bool>> {
        let push = |number: usize| {
            let (answer, answered) = oneshot::channel();
            let mut key = [client; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            let (name, hash) = (format!("{client}.{number}"), String::new());
            let client = Client(IpAddr::from([10, 0, 0, client]));
            let answers = vec![answer];
            lane.push(Check { client, key, name, hash, password: Vec::new(), answers });
            answered
        };
        (0..count).map(push).collect()
    }

    fn names(lane: &mut Lane, count: usize) -> Vec<String> {
        (0..count).map_while(|_| Some(lane.pop()?.name)).collect()
    }

    #[test]
    fn what_nobody_waits_for_is_passed_over() {
        let mut lane = Lane::default();
        let mut waiting = push(&mut lane, 1, 5);
        drop(waiting.remove(3));
        assert_eq!(names(&mut lane, 9), ["1.0", "1.1", "1.2", "1.4"]);
    }

    #[test]
    fn a_client_waits_for_none_that_had_their_turn() {
        let mut lane = Lane::default();
        let _many: Vec<_> = (1..=40).map(|client| push(&mut lane, client, 3)).collect();
        // Each of them has had its turn.
        assert_eq!(names(&mut lane, 80).len(), 80);
        let _again: Vec<_> = (1..=40).map(|client| push(&mut lane, client, 2)).collect();
        let _new = push(&mut lane, 77, 1);
        assert!(names(&mut lane, 2).contains(&"77.0".to_owned()));
    }

    #[test]
    fn one_client_waits_for_anothers_no_more_than_for_two() {
        let mut lane = Lane::default();
        let _many = push(&mut lane, 1, 120);
        assert_eq!(names(&mut lane, 1), ["1.0"]);
        let _new = push(&mut lane, 2, 1);
        assert!(names(&mut lane, 2).contains(&"2.0".to_owned()));
    }

    #[test]
    fn the_oldest_of_all_is_served_whatever_comes() {
        let mut lane = Lane::default();
        let mut kept = push(&mut lane, 1, 60);
        let mut order = Vec::new();
        for client in 2..=200 {
            kept.append(&mut push(&mut lane, client, 1));
            order.append(&mut names(&mut lane, 1));
        }
        assert!(order.contains(&"1.59".to_owned()), "{order:?}");
    }

    #[test]
    fn of_too_many_the_oldest_of_the_client_with_most_gives_way() {
        let mut lane = Lane::default();
        let mut other = push(&mut lane, 1, 5);
        let mut most = push(&mut lane, 2, WAITING);
        assert_eq!(lane.waiting.len(), WAITING);
        let is_given_up =
            |one: &mut oneshot::Receiver<_>| one.try_recv() == Err(TryRecvError::Closed);
        assert!(!other.iter_mut().any(is_given_up));
        let given_up: Vec<_> = most.iter_mut().map(is_given_up).collect();
        assert_eq!(given_up.iter().filter(|given_up| **given_up).count(), 5);
        assert!(given_up[..5].iter().all(|given_up| *given_up));
    }
}
