//! One database that is visited: what was done in it, and what was last read there.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::VisitedCollector;
use crate::postgres::{Database, Texts};
use crate::sources::Failure;
use crate::sources::collector::{CollectorState, Error, Rows, TableReading};
use poolwatch_client::SharedPool;

/// A database in which nothing moved since the last visit is visited after this long.
const QUIET: Duration = Duration::from_hours(1);
/// The timeout of one visit, however little of it was read.
const VISIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The activity in a database so far, as the server counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DatabaseActivity {
    /// Rows changed and sessions begun, if the server counts them.
    pub(super) counted: Option<i64>,
    /// The active time of sessions; `None` after a visit, which is counted too.
    pub(super) active: Option<f64>,
}

/// One database and its last visit.
#[derive(Debug, Default)]
pub(super) struct VisitedDatabase {
    pub(super) at: Option<Instant>,
    pub(super) done: DatabaseActivity,
    /// True when anything was done in it since the last visit.
    pub(super) moved: bool,
    /// The encoding of its texts.
    pub(super) texts: Texts,
    /// The reason why the server let nobody in at the last visit.
    pub(super) refused: Option<String>,
    /// True while its rules forbid it, which what is done there does not change.
    is_barred: bool,
    pub(super) kept: Vec<LastReading>,
}

/// The last reading of one collector there.
#[derive(Debug)]
pub(super) struct LastReading {
    pub(super) state: CollectorState,
    pub(super) due: Instant,
    pub(super) interval: Duration,
    /// By table.
    pub(super) rows: Vec<Option<Rows>>,
    /// The reasons why figures could not be seen.
    pub(super) unseen: Vec<String>,
}

impl VisitedDatabase {
    pub(super) fn expected(wanted: &[VisitedCollector], share: u32) -> Self {
        let kept = wanted.iter().map(|wanted| LastReading {
            state: CollectorState::sharing(wanted.collector, wanted.settings.clone(), share),
            due: Instant::now(),
            interval: wanted.interval,
            rows: wanted.collector.tables.iter().map(|_| None).collect(),
            unseen: Vec::new(),
        });
        Self { kept: kept.collect(), ..Self::default() }
    }

    /// Notes what was done in it. At first, anything that was ever done counts as a change.
    pub(super) fn observe(&mut self, done: DatabaseActivity) {
        let before = std::mem::replace(&mut self.done, done);
        let active = |done: DatabaseActivity| done.active.unwrap_or(0.0);
        let has_active_time = before.active.is_some() || self.at.is_none();
        let stayed = !has_active_time || active(before).total_cmp(&active(done)).is_eq();
        // Where the server does not count, something may have been done.
        let is_same = done.counted.is_some_and(|count| count == before.counted.unwrap_or(0));
        self.moved |= !is_same || !stayed;
    }

    pub(super) fn arrive(&mut self) {
        self.at = Some(Instant::now());
        // The visit is a session too.
        let counted = self.done.counted.map(|counted| counted.saturating_add(1));
        self.done = DatabaseActivity { counted, active: None };
        self.moved = false;
        (self.refused, self.is_barred) = (None, false);
    }

    /// Is visited again in its turn, whether anything is done in it meanwhile or not.
    pub(super) fn fail(&mut self) {
        self.moved = true;
    }

    /// Is visited again after a while, whatever is done in it: to ask each time would fill the
    /// server's log.
    pub(super) fn refuse(&mut self, reason: String, is_barred: bool) {
        (self.refused, self.is_barred) = (Some(reason), is_barred);
        // One of the same name may be made in the place of one that was dropped.
        self.moved = true;
        for kept in &mut self.kept {
            kept.rows.fill_with(|| None);
            kept.unseen.clear();
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.moved && !self.is_barred || self.at.is_none_or(|at| at.elapsed() >= QUIET)
    }

    /// Reads what is due over a session that is gone afterwards.
    pub(super) async fn visit(&mut self, server: &Database, name: &str) -> Result<(), Failure> {
        let pool = server.other_database(name, self.texts);
        let outcome = timeout(VISIT_TIMEOUT, self.read(&pool)).await;
        pool.close().await;
        outcome.unwrap_or_else(|_| Err(Error::Slow(VISIT_TIMEOUT.as_secs()).into()))
    }

    /// Reads what is due. A table that fails hides no other.
    async fn read(&mut self, pool: &SharedPool) -> Result<(), Failure> {
        let mut failure = None;
        for kept in self.kept.iter_mut().filter(|kept| kept.due <= Instant::now()) {
            let outcome = kept.read(pool).await;
            if outcome.is_ok() {
                kept.due = Instant::now() + kept.interval.mul_f64(0.9);
            }
            failure = failure.or(outcome.err());
        }
        failure.map_or(Ok(()), Err)
    }
}

impl LastReading {
    async fn read(&mut self, pool: &SharedPool) -> Result<(), Failure> {
        let mut failure: Option<Failure> = None;
        // What does not come now is not shown as if it had.
        self.rows.fill_with(|| None);
        for (at, kept) in self.rows.iter_mut().enumerate() {
            let mut connection = pool.acquire().await?;
            match self.state.read_table(at, &mut connection).await {
                Ok(TableReading::Rows(rows)) => *kept = Some(rows),
                Ok(TableReading::NoExtension(_) | TableReading::NotYet { .. }) => {}
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        if failure.is_none() {
            let mut connection = pool.acquire().await?;
            // That it cannot be asked is no failure: the figures came.
            self.unseen = self.state.unseen(&mut connection).await.unwrap_or_default();
        }
        failure.map_or(Ok(()), Err)
    }
}
