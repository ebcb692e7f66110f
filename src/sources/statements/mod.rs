//! The durations of the server's statements, estimated from the rows of `pg_stat_statements`.
//!
//! The calls between two samples are spread over buckets, by database. The first sample says only
//! from where to count. A statement that is forgotten between two samples, for there were too many,
//! is counted no further than the last. The statements that matter most in the last minutes are named.

mod by_statement;
mod current_database;
mod logged;
mod sample;
mod top;
mod totals;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use self::by_statement::ByStatement;
pub use self::current_database::{WholeStatement, whole_statements};
pub use self::sample::LOGGED_FROM;
use self::sample::{MOST, Sample, SampledStatement, StatementKey, StatementsExtension};
use self::top::RecentStatements;
use self::totals::DatabaseTotals;
use super::{Failure, explain};
use crate::collectors::STATEMENT_DURATIONS;
use crate::latency::{Interval, Moments};
use crate::postgres::{Database, ExtensionError, Reductions};
use crate::reading::{Reading, StatementStats};

/// The number of statements between two pauses in which others run.
const AT_ONCE: usize = 256;

/// The databases and roles whose statements are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excluded {
    /// Of these databases.
    pub databases: Vec<String>,
    /// Of these roles.
    pub users: Vec<String>,
}

/// The reason why there was no sample.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// No answer in time.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// More than can be kept.
    #[error("pg_stat_statements has more than {MOST} statements; lower pg_stat_statements.max")]
    TooMany,
    /// The extension cannot be called.
    #[error(transparent)]
    StatementsExtension(#[from] ExtensionError),
    /// A statement failed.
    #[error("{}", explain(.0).unwrap_or("the statement failed"))]
    Failed(#[from] sqlx::Error),
}

/// Estimates how long one server's statements take.
#[derive(Debug)]
pub struct Statements {
    database: Arc<Database>,
    excluded: Excluded,
    last: Option<Sample>,
    /// True for each `query_id` whose statement counts as a query.
    kinds: HashMap<i64, bool>,
    /// True once a session other than poolwatch's has used its role.
    shared: bool,
    totals: DatabaseTotals,
    recent: RecentStatements,
    by_statement: ByStatement,
    reductions: Reductions,
}

impl Statements {
    /// Samples the statements of this database's server, of which so many have series of their own.
    pub fn open(database: Arc<Database>, excluded: Excluded, limit: u32) -> Self {
        Self {
            database,
            excluded,
            last: None,
            kinds: HashMap::new(),
            shared: false,
            totals: DatabaseTotals::default(),
            recent: RecentStatements::default(),
            by_statement: ByStatement::new(limit),
            reductions: Reductions::default(),
        }
    }

    /// Samples once; nothing, when the extension is not there.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let database = Arc::clone(&self.database);
        let _turn = database.slow_lane().await;
        let began = Instant::now();
        let read_timeout = database.read_timeout();
        let sampled = timeout(read_timeout, self.sample()).await;
        let Some(sample) = sampled.map_err(|_| Error::Slow(read_timeout.as_secs()))?? else {
            self.last = None;
            let hints = self.missing();
            return Ok(Reading { hints, ..Reading::default() });
        };
        let mut hints = self.hints(&sample);
        self.absorb(sample, began..Instant::now()).await;
        // Without their texts statements are still counted.
        let trouble = timeout(read_timeout, self.name_top()).await;
        let trouble = trouble.map_err(|_| Error::Slow(read_timeout.as_secs()).into());
        hints.extend(self.missing());
        Ok(Reading {
            families: self
                .totals
                .families()
                .into_iter()
                .chain([self.by_statement.family()])
                .collect(),
            statements: self.totals.recent(began),
            top: self.last.as_ref().map(|sample| self.recent.top(database.name(), sample).into()),
            dropped: self.totals.dropped(),
            hints,
            trouble: trouble.flatten().err(),
            elapsed: Some(began.elapsed()),
            ..Reading::default()
        })
    }

    async fn sample(&mut self) -> Result<Option<Sample>, Failure> {
        let mut connection = self.database.acquire().await?;
        let reductions = &mut self.reductions;
        let Some(extension) = StatementsExtension::find(&mut connection, reductions).await? else {
            return Ok(None);
        };
        let sample = extension.sample(&mut connection, &self.excluded, reductions).await?;
        let Some(mut sample) = sample else { return Ok(None) };
        if let Some(destination) = self.database.log_counts().destination() {
            let from = StatementsExtension::logged_from(&mut connection, destination, reductions);
            sample.logged_from = from.await?;
        }
        let query_ids = sample.query_ids();
        self.kinds.retain(|query_id, _| query_ids.contains(query_id));
        let new = query_ids.into_iter().filter(|query_id| !self.kinds.contains_key(query_id));
        let new: Vec<i64> = new.collect();
        if !new.is_empty() {
            self.kinds.extend(extension.kinds(&mut connection, &new, reductions).await?);
        }
        self.shared |= sample.shared;
        Ok(Some(sample))
    }

    /// Reads the texts of statements that have come to matter.
    async fn name_top(&mut self) -> Result<(), Failure> {
        let new = self.recent.unnamed();
        if new.is_empty() {
            return Ok(());
        }
        let mut connection = self.database.acquire().await?;
        let reductions = &mut self.reductions;
        if let Some(extension) = StatementsExtension::find(&mut connection, reductions).await? {
            self.recent.name(extension.texts(&mut connection, &new, reductions).await?);
        }
        Ok(())
    }

    /// The hints about figures that the server lacks.
    fn missing(&mut self) -> Vec<String> {
        self.reductions.tell(self.database.name(), STATEMENT_DURATIONS.name)
    }

    fn hints(&self, sample: &Sample) -> Vec<String> {
        let masked = "the role does not see the statements of others, so how long they take is \
                      not known; GRANT pg_read_all_stats TO it";
        let shared = "others use poolwatch's role, so its own statements are among those whose \
                      duration is estimated; give poolwatch a role of its own";
        let hints = [(sample.masked, masked), (self.shared, shared)];
        hints.iter().filter(|(is, _)| *is).map(|(_, hint)| (*hint).to_owned()).collect()
    }

    /// Counts what ran since the last sample.
    async fn absorb(&mut self, sample: Sample, sampled: Range<Instant>) {
        let now = sampled.start;
        let logged_from = self.last.as_ref().and_then(|last| self.logged_from(&sample, last));
        self.totals.settle(self.database.log_counts());
        self.totals.expect(sample.statements.values().map(|statement| &*statement.database));
        if let Some(last) = self.last.take().filter(|last| follows(&sample, last)) {
            let mut all = HashMap::new();
            for (position, key) in sample.statements.keys().enumerate() {
                if position % AT_ONCE == AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
                if self.is_counted(&sample, *key) {
                    let interval = delta(&sample, &last, *key);
                    let statement = &sample.statements[key];
                    self.totals.add(&statement.database, &interval);
                    self.by_statement.add((key.1, key.2), &interval);
                    if interval.calls > 0 {
                        let stats = since(statement, last.statements.get(key), &interval);
                        *all.entry((key.1, key.2)).or_default() += stats;
                    }
                }
            }
            self.recent.add(all, now);
            let names: HashMap<i64, &Arc<str>> = sample
                .statements
                .iter()
                .map(|(key, statement)| (key.1, &statement.database))
                .collect();
            let slowest = self.recent.slowest(self.by_statement.limit()).into_iter();
            let named = slowest.filter_map(|name| Some((name, Arc::clone(names.get(&name.0)?))));
            self.by_statement.follow(named, now);
        } else {
            self.by_statement.clear();
            let counted =
                sample.statements.iter().filter(|(key, _)| self.is_counted(&sample, **key));
            let mut all = HashMap::new();
            for (key, statement) in counted {
                *all.entry((key.1, key.2)).or_default() += ever(statement);
            }
            self.recent.begin(all, sample.reset.map(|reset| sample.at - reset), now);
        }
        self.totals.end_sample(sampled, logged_from);
        self.last = Some(sample);
    }

    /// Seconds from which on the log has all statements that ran since the last sample, and the
    /// statistics have them too; `None` where either may lack some.
    fn logged_from(&self, sample: &Sample, last: &Sample) -> Option<f64> {
        let is_same = follows(sample, last)
            && (sample.reset, sample.evictions) == (last.reset, last.evictions)
            && sample.logged_from == last.logged_from;
        let forgotten = |(key, before): (&StatementKey, &SampledStatement)| {
            let now = sample.statements.get(key).map(|statement| &statement.moments);
            now.is_none_or(|now| !now.continues(&before.moments))
        };
        let of_all = self.excluded.users.is_empty() && !self.shared;
        let is_whole = is_same && of_all && sample.evictions.is_some();
        let forgot = || last.statements.iter().any(forgotten);
        sample.logged_from.filter(|_| is_whole && !forgot())
    }

    /// poolwatch's own statements can be told apart only if nobody else uses its role.
    fn is_counted(&self, sample: &Sample, (role, _, query_id): StatementKey) -> bool {
        let own = role == sample.role && !self.shared;
        !own && self.kinds.get(&query_id).copied().unwrap_or(true)
    }
}

/// True when a sample is of the same server, with the same privileges, as the last. A server is
/// another one if it started, or reset all its statements, before the last sample but at another
/// time than the last sample has.
fn follows(sample: &Sample, last: &Sample) -> bool {
    let began_before = sample.began != last.began && sample.began < last.at;
    let forgot_before = sample.reset != last.reset && sample.reset.is_some_and(|at| at < last.at);
    !began_before && !forgot_before && sample.masked == last.masked
}

/// The calls of one statement between two samples. One that is older than the last sample but was
/// not in it was hidden then, so it is counted only from now on.
fn delta(sample: &Sample, last: &Sample, key: StatementKey) -> Interval {
    let moments = &sample.statements[&key].moments;
    let earlier = last.statements.get(&key).filter(|_| sample.reset == last.reset);
    let earlier = earlier.map(|statement| &statement.moments);
    let hidden = earlier.is_none() && moments.since.is_some_and(|since| since < last.at);
    if hidden { Interval::default() } else { moments.since(earlier) }
}

/// All that a statement did since the server began to count.
fn ever(statement: &SampledStatement) -> StatementStats {
    let Moments { calls, total, .. } = statement.moments;
    let (rows, blocks) = (statement.rows, statement.blocks);
    StatementStats { calls, seconds: total, rows, blocks, ..StatementStats::default() }
}

/// The figures of a statement in an interval. If all its calls are of the interval, so is the rest.
fn since(
    now: &SampledStatement,
    before: Option<&SampledStatement>,
    interval: &Interval,
) -> StatementStats {
    let before = before.filter(|_| interval.calls < now.moments.calls);
    let grown =
        |count: fn(&SampledStatement) -> u64| count(now).saturating_sub(before.map_or(0, count));
    StatementStats {
        calls: interval.calls,
        seconds: interval.sum,
        rows: grown(|statement| statement.rows),
        blocks: grown(|statement| statement.blocks),
        squares: interval.squares + interval.sum * interval.sum / interval.calls.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, reset: f64, statements: &[(i64, u64, Option<f64>)]) -> Sample {
        let statements = statements.iter().map(|(query_id, calls, since)| {
            let moments = Moments {
                calls: *calls,
                total: 0.01 * *calls as f64,
                shortest: 0.01,
                longest: 0.01,
                since: *since,
                extremes_since: *since,
                deviation: 0.0,
            };
            let statement =
                SampledStatement { database: "app".into(), moments, ..SampledStatement::default() };
            ((10, 5, *query_id), statement)
        });
        Sample { at, reset: Some(reset), statements: statements.collect(), ..Sample::default() }
    }

    #[test]
    fn another_server_is_not_the_same_one_reset() {
        let last = sample(100.0, 50.0, &[]);
        assert!(follows(&sample(110.0, 50.0, &[]), &last));
        assert!(follows(&sample(110.0, 105.0, &[]), &last), "all was forgotten between");
        assert!(!follows(&sample(110.0, 20.0, &[]), &last), "a replica that took over");
        let began = |began| Sample { began, ..sample(110.0, 50.0, &[]) };
        assert!(!follows(&began(30.0), &last), "another that was there before");
        assert!(follows(&began(104.0), &last), "the same, restarted");
        assert!(!follows(&Sample { masked: true, ..sample(110.0, 50.0, &[]) }, &last));
    }

    #[test]
    fn a_statement_that_comes_and_goes_is_counted_from_its_birth() {
        let last = sample(100.0, 50.0, &[(1, 7, Some(60.0))]);
        let now =
            sample(110.0, 50.0, &[(1, 9, Some(60.0)), (2, 3, Some(104.0)), (3, 8, Some(70.0))]);
        let calls = |query_id| delta(&now, &last, (10, 5, query_id)).calls;
        assert_eq!((calls(1), calls(2)), (2, 3));
        assert_eq!(calls(3), 0, "it is older than the last sample, and was hidden");
        let reset = sample(110.0, 105.0, &[(1, 9, None)]);
        assert_eq!(delta(&reset, &last, (10, 5, 1)).calls, 9, "all were forgotten");
        let evicted = sample(110.0, 50.0, &[(1, 9, Some(101.0))]);
        assert_eq!(delta(&evicted, &last, (10, 5, 1)).calls, 9);
    }
}
