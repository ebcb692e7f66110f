//! What a pool knows of itself: who has how much, since when, and all that was counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::AcquireError;
use super::peak::Peak;
use super::settings::Settings;
use crate::latency::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};
use crate::reading::{Figures, Timings, Totals};

/// An open connection and since when it is.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: PgConnection,
    pub(super) since: Instant,
}

/// All of a pool that changes.
pub(super) struct State {
    /// Open and resting, the one that came back first in front.
    pub(super) resting: VecDeque<Open>,
    /// Connections older than this are taken for broken.
    pub(super) broken_before: Option<Instant>,
    /// SQL for every new connection.
    pub(super) on_connect: Vec<String>,
    checked_out: u64,
    pending: u64,
    pending_peak: Peak,
    peak: Peak,
    holds: BTreeMap<u64, Instant>,
    checkouts: u64,
    counted: Counted,
    acquire: Histogram,
    hold: Histogram,
    query: Histogram,
    commit: Histogram,
}

#[derive(Default)]
struct Counted {
    timeouts: u64,
    acquire_errors: u64,
    opened: u64,
    invalidated: u64,
    query_errors: u64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            resting: VecDeque::new(),
            broken_before: None,
            on_connect: Vec::new(),
            checked_out: 0,
            pending: 0,
            pending_peak: Peak::new(),
            peak: Peak::new(),
            holds: BTreeMap::new(),
            checkouts: 0,
            counted: Counted::default(),
            acquire: Histogram::new(ACQUIRE_BOUNDS),
            hold: Histogram::new(HOLD_BOUNDS),
            query: Histogram::new(BOUNDS),
            commit: Histogram::new(BOUNDS),
        }
    }

    pub(super) fn wait(&mut self) {
        self.pending += 1;
    }

    pub(super) fn waited(&mut self) {
        self.pending_peak.mark(self.pending);
        self.pending -= 1;
    }

    pub(super) fn take(&mut self) {
        self.checked_out += 1;
    }

    pub(super) fn leave(&mut self) {
        self.peak.mark(self.checked_out);
        self.checked_out -= 1;
    }

    /// Begins a hold and says its number.
    pub(super) fn hold(&mut self) -> u64 {
        self.checkouts += 1;
        self.holds.insert(self.checkouts, Instant::now());
        self.checkouts
    }

    pub(super) fn held(&mut self, number: u64) {
        if let Some(since) = self.holds.remove(&number) {
            self.hold.observe(since.elapsed().as_secs_f64());
        }
    }

    pub(super) fn opened(&mut self) {
        self.counted.opened += 1;
    }

    pub(super) fn invalidated(&mut self) {
        self.counted.invalidated += 1;
    }

    /// Counts an acquire, had or not: a caller that waited in vain has waited too.
    pub(super) fn acquired(&mut self, took: Duration, error: Option<&AcquireError>) {
        match error {
            Some(AcquireError::Timeout { .. }) => self.counted.timeouts += 1,
            Some(_) => self.counted.acquire_errors += 1,
            None => {}
        }
        self.acquire.observe(took.as_secs_f64());
    }

    /// Counts a statement; the duration of one that failed is kept too.
    pub(super) fn queried(&mut self, took: Duration, failed: bool) {
        self.query.observe(took.as_secs_f64());
        self.counted.query_errors += u64::from(failed);
    }

    pub(super) fn committed(&mut self, took: Duration, failed: bool) {
        self.commit.observe(took.as_secs_f64());
        self.counted.query_errors += u64::from(failed);
    }

    pub(super) fn figures(&self, settings: &Settings) -> Figures {
        let checked_in = self.resting.len() as u64;
        let oldest = self.holds.first_key_value().map(|(_, since)| since.elapsed().as_secs_f64());
        Figures {
            size: Some(u64::from(settings.size)),
            max_overflow: Some(settings.limit()),
            checked_in: Some(checked_in),
            checked_out: Some(self.checked_out),
            overflow: Some(settings.overflow(checked_in + self.checked_out)),
            pending: Some(self.pending),
            pending_peak: Some(self.pending_peak.highest(self.pending)),
            connecting: Some(self.checked_out.saturating_sub(self.holds.len() as u64)),
            peak: Some(self.peak.highest(self.checked_out)),
            oldest_checkout: oldest,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            timeouts: Some(self.counted.timeouts),
            acquire_errors: Some(self.counted.acquire_errors),
            opened: Some(self.counted.opened),
            invalidated: Some(self.counted.invalidated),
            query_errors: Some(self.counted.query_errors),
            ..Totals::default()
        }
    }

    pub(super) fn timings(&self) -> Timings {
        Timings {
            acquire: Some(self.acquire.clone()),
            hold: Some(self.hold.clone()),
            query: Some(self.query.clone()),
            commit: Some(self.commit.clone()),
        }
    }
}
