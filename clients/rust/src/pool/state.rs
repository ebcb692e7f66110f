//! The state of a pool: who has how much, since when, and all that was counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::AcquireError;
use super::peak::{HighWater, Peak};
use super::settings::PoolSettings;
use crate::histogram::Histogram;
use crate::pool_figures::{Cumulative, Figures, Timings, Totals};

/// More seconds are as good as no limit.
const LONGEST: f64 = 1e9;

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
    /// Connections older than this are closed when they come back.
    disposed_before: Option<Instant>,
    /// SQL for every new connection.
    pub(super) on_connect: Vec<String>,
    checked_out: u64,
    pending: u64,
    pending_peak: Peak,
    peak: Peak,
    reported_pending_peak: HighWater,
    reported_peak: HighWater,
    holds: BTreeMap<u64, Instant>,
    checkouts: u64,
    totals: Totals,
    timings: Timings,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            resting: VecDeque::new(),
            broken_before: None,
            disposed_before: None,
            on_connect: Vec::new(),
            checked_out: 0,
            pending: 0,
            pending_peak: Peak::new(),
            peak: Peak::new(),
            reported_pending_peak: HighWater::default(),
            reported_peak: HighWater::default(),
            holds: BTreeMap::new(),
            checkouts: 0,
            totals: nothing_counted(),
            timings: nothing_timed(),
        }
    }

    /// Gives up the connections that there are, and returns those that rest.
    pub(super) fn dispose(&mut self) -> VecDeque<Open> {
        self.disposed_before = Some(Instant::now());
        std::mem::take(&mut self.resting)
    }

    pub(super) fn is_disposed(&self, open: &Open) -> bool {
        self.disposed_before.is_some_and(|moment| open.since < moment)
    }

    pub(super) fn wait(&mut self) {
        self.pending += 1;
    }

    pub(super) fn waited(&mut self) {
        self.pending_peak.record(self.pending);
        self.reported_pending_peak.record(self.pending);
        self.pending -= 1;
    }

    pub(super) fn take(&mut self) {
        self.checked_out += 1;
    }

    pub(super) fn leave(&mut self) {
        self.peak.record(self.checked_out);
        self.reported_peak.record(self.checked_out);
        self.checked_out -= 1;
    }

    /// Begins a hold and returns its number.
    pub(super) fn hold(&mut self) -> u64 {
        self.checkouts += 1;
        self.holds.insert(self.checkouts, Instant::now());
        self.checkouts
    }

    pub(super) fn held(&mut self, number: u64) {
        if let Some(since) = self.holds.remove(&number) {
            time(&mut self.timings.hold, since.elapsed());
        }
    }

    pub(super) fn opened(&mut self) {
        count(&mut self.totals.opened);
    }

    pub(super) fn invalidated(&mut self) {
        count(&mut self.totals.invalidated);
    }

    /// Counts an acquire, had or not: a caller that waited in vain has waited too.
    pub(super) fn acquired(&mut self, elapsed: Duration, error: Option<&AcquireError>) {
        match error {
            Some(AcquireError::Timeout { .. }) => count(&mut self.totals.timeouts),
            Some(_) => count(&mut self.totals.acquire_errors),
            None => {}
        }
        time(&mut self.timings.acquire, elapsed);
    }

    /// Counts an acquire that its caller gave up, which has waited too.
    pub(super) fn abandoned(&mut self, elapsed: Duration) {
        count(&mut self.totals.abandoned);
        time(&mut self.timings.acquire, elapsed);
    }

    /// Counts a statement; the duration of one that failed is kept too.
    pub(super) fn queried(&mut self, elapsed: Duration, failed: bool) {
        time(&mut self.timings.query, elapsed);
        self.failed(failed);
    }

    pub(super) fn committed(&mut self, elapsed: Duration, failed: bool) {
        time(&mut self.timings.commit, elapsed);
        self.failed(failed);
    }

    fn failed(&mut self, failed: bool) {
        if failed {
            count(&mut self.totals.query_errors);
        }
    }

    pub(super) fn figures(&self, settings: &PoolSettings) -> Figures {
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
            pre_ping: Some(settings.pre_ping.into()),
            timeout: seconds(settings.timeout),
            recycle: settings.recycle.and_then(seconds),
        }
    }

    /// The figures of a report: their peaks are those since the last report.
    pub(super) fn take_figures(&mut self, settings: &PoolSettings) -> Figures {
        let pending_peak = self.reported_pending_peak.take(self.pending);
        let peak = self.reported_peak.take(self.checked_out);
        let (pending_peak, peak) = (Some(pending_peak), Some(peak));
        Figures { pending_peak, peak, ..self.figures(settings) }
    }

    /// Keeps the peaks of a report that did not go out for the next.
    pub(super) fn put_back(&mut self, figures: &Figures) {
        self.reported_pending_peak.record(figures.pending_peak.unwrap_or(0));
        self.reported_peak.record(figures.peak.unwrap_or(0));
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn timings(&self) -> Timings {
        self.timings.clone()
    }
}

/// A limit in seconds; `None` of one so long that it is as good as none.
fn seconds(limit: Duration) -> Option<f64> {
    Some(limit.as_secs_f64()).filter(|seconds| *seconds < LONGEST)
}

/// The counters that this pool counts, at 0; the others need to see inside the application's
/// statements.
fn nothing_counted() -> Totals {
    let zero = Some(0);
    Totals {
        timeouts: zero,
        acquire_errors: zero,
        abandoned: zero,
        opened: zero,
        invalidated: zero,
        query_errors: zero,
        ..Totals::default()
    }
}

/// Every histogram, empty.
fn nothing_timed() -> Timings {
    let mut timings = Timings::default();
    for row in Timings::ROWS {
        *(row.get_mut)(&mut timings) = Some(Histogram::new(row.bounds));
    }
    timings
}

fn count(counter: &mut Option<u64>) {
    *counter.get_or_insert_default() += 1;
}

fn time(histogram: &mut Option<Histogram>, elapsed: Duration) {
    if let Some(histogram) = histogram {
        histogram.observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_nobody_lives_to_see_is_none() {
        let figures = |limit| {
            let settings =
                PoolSettings { timeout: limit, recycle: Some(limit), ..PoolSettings::default() };
            let Figures { timeout, recycle, .. } = State::new().figures(&settings);
            (timeout, recycle)
        };
        assert_eq!(figures(Duration::MAX), (None, None));
        assert_eq!(figures(Duration::from_secs(1_000_000_000)), (None, None));
        assert_eq!(figures(Duration::from_secs(30)), (Some(30.0), Some(30.0)));
        assert_eq!(figures(Duration::ZERO), (Some(0.0), Some(0.0)));
    }
}
