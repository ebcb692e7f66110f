//! What grew lately: what something that only grows was five minutes ago is remembered.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How far back lately goes.
const WINDOW: Duration = Duration::from_secs(300);
/// How often the state of then is kept.
const STEP: Duration = Duration::from_secs(15);

/// What something was in the last five minutes, some seconds apart.
#[derive(Debug)]
pub struct Past<T>(VecDeque<(Instant, T)>);

impl<T> Default for Past<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Past<T> {
    /// What it was five minutes ago, or when it was first remembered since.
    pub fn then(&mut self, now: Instant) -> Option<&T> {
        while self.0.len() > 1 && self.0[1].0 + WINDOW <= now {
            self.0.pop_front();
        }
        self.0.front().map(|(_, then)| then)
    }

    /// Remembers what it is now, unless that was done a moment ago.
    pub fn remember(&mut self, now: Instant, state: impl FnOnce() -> T) {
        if self.0.back().is_none_or(|(at, _)| *at + STEP <= now) {
            self.0.push_back((now, state()));
        }
    }
}
