//! Connections that are taken and not given back.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity, holders};
use crate::reading::Hold;
use crate::state::PoolState;

/// Steps of history over which what is checked out must only have risen.
const STEPS: usize = 5;
/// The same, where nobody says how long connections are held.
const BLIND_STEPS: usize = 60;

/// The part of the time that is too long from which on rising holds are a leak.
const PART_OF_THRESHOLD: f64 = 1.0 / 3.0;

/// The difference in seconds between a worker's report and the server's answer.
const CLOCKS: f64 = 5.0;
/// The age in seconds of a statement that may be of any hold, however long.
const LONG: f64 = 30.0;

const REMEDY: &str = "close every session in a `with` block or a `finally`; look at the code that \
                      runs at the time the oldest checkout began; restarting the worker gives the \
                      connections back for now";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConnectionLeak {
    enabled: bool,
    /// Connections more than before, never fewer in between, that are a leak.
    min_growth: u64,
    /// The oldest of them must be held for at least this long.
    #[serde(with = "humantime_serde")]
    min_held: Duration,
}

impl Default for ConnectionLeak {
    fn default() -> Self {
        Self { enabled: true, min_growth: 4, min_held: Duration::from_secs(20) }
    }
}

impl Rule for ConnectionLeak {
    fn name(&self) -> &'static str {
        "connection_leak"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let judged = context.pools.iter().filter_map(|pool| {
            let threshold = context.thresholds.of_pool(&pool.pool.name).held_too_long.as_secs_f64();
            let with_reason = WithReason::new(context, pool, recent);
            let is_long = pool.sum.oldest_checkout.is_some_and(|oldest| oldest >= threshold);
            let advice = match is_long {
                true if with_reason.is_all(pool, threshold) => None,
                true => held_too_long(pool, threshold),
                false => self.rising(pool, recent, threshold, with_reason.count(pool)),
            };
            advice.map(|message| Advice::new(Severity::Warning, &pool.pool.name, message, REMEDY))
        });
        judged.collect()
    }
}

/// The connections of a pool that are held with reason.
#[derive(Clone, Copy, Debug)]
struct WithReason {
    /// Those whose statement is in flight.
    in_flight: u64,
    /// Sessions of servers that listen or hold an advisory lock.
    keepers: u64,
}

impl WithReason {
    /// By what the client says of its holds. Where it says nothing: the statements that servers run,
    /// or that wait for locks there, and that may be of the longest holds, because they are no older
    /// than those and began in their later half at the latest.
    fn new(context: &RuleContext<'_>, state: &PoolState, recent: &Recent) -> Self {
        let oldest = state.sum.oldest_checkout.unwrap_or(f64::MAX);
        let sessions = context.databases.iter().filter_map(|server| server.sessions.as_ref());
        let running = sessions.flat_map(|sessions| &sessions.running);
        let may_be_held = running.filter(|running| {
            let age = running.oldest_seconds;
            age <= oldest + CLOCKS && age >= (oldest / 2.0).min(LONG)
        });
        let keepers = context.databases.iter().map(|server| recent.keepers(&server.name));
        let by_server = may_be_held.map(|running| running.sessions).sum();
        let holds = state.pool.holders.holds.iter();
        let by_client = holds.filter(|held| held.hold.active == Some(true)).count() as u64;
        Self { in_flight: by_client.max(by_server), keepers: keepers.sum() }
    }

    /// The most connections of the pool that may be held with reason.
    fn count(self, state: &PoolState) -> u64 {
        let kept = state.pool.holders.holds.iter().filter(|held| is_kept(&held.hold)).count();
        self.in_flight + self.keepers.max(kept as u64)
    }

    /// Returns true if the longest holds, those above a threshold, are all with reason.
    fn is_all(self, state: &PoolState, threshold: f64) -> bool {
        let holds = &state.pool.holders.holds;
        if holds.iter().all(|held| held.hold.active.is_none()) {
            return self.in_flight > 0 || self.keepers > 0;
        }
        let long = holds.iter().map(|held| &held.hold).filter(|hold| hold.age >= threshold);
        let unexplained = long.filter(|hold| hold.active != Some(true) && !is_kept(hold)).count();
        // One that holds an advisory lock may do other work too.
        unexplained as u64 <= self.keepers
    }
}

/// A connection that listens, or that holds an advisory lock, by its last statement.
fn is_kept(hold: &Hold) -> bool {
    let sql = hold.sql.as_deref().unwrap_or_default().to_ascii_lowercase();
    let locks = ["pg_advisory_lock", "pg_try_advisory_lock"];
    sql.starts_with("listen ") || locks.iter().any(|lock| sql.contains(lock))
}

fn held_too_long(state: &PoolState, threshold: f64) -> Option<String> {
    let oldest = state.sum.oldest_checkout?;
    let holder = state
        .pool
        .workers
        .iter()
        .find(|worker| worker.figures.oldest_checkout == Some(oldest))
        .and_then(|worker| worker.pid);
    let holder = holder.map(|pid| format!(" by the worker {pid}")).unwrap_or_default();
    let longest = holders::longest(state).map(|longest| format!(", {longest}"));
    let message = format!(
        "a connection has been held for {oldest:.0} s{holder} (the threshold is {threshold:.0} s){}",
        longest.unwrap_or_default()
    );
    Some(holders::with_holders(message, state))
}

impl ConnectionLeak {
    /// The fewest checked out rise and never fall, and none of them comes back. What rose since the
    /// oldest of them was taken is still out when it rises no more.
    fn rising(
        &self,
        state: &PoolState,
        recent: &Recent,
        threshold: f64,
        with_reason: u64,
    ) -> Option<String> {
        // Where a pool may hold for long, holds of a minute tell nothing.
        let long_enough = self.min_held.as_secs_f64().max(threshold * PART_OF_THRESHOLD);
        let (least, spans) = match state.sum.oldest_checkout {
            Some(oldest) if oldest < long_enough => return None,
            Some(oldest) => (STEPS, [STEPS, STEPS.max(Recent::steps_of(oldest))]),
            None => (BLIND_STEPS, [BLIND_STEPS; 2]),
        };
        let pool = recent.pool(&state.pool.name)?;
        let risen = |steps: usize| {
            let floors = pool.finished(steps + 1).map(|step| step.floor);
            let floors: Vec<u64> = floors.collect::<Option<_>>()?;
            let (first, last) = (*floors.first()?, *floors.last()?);
            let rise = last.saturating_sub(first).saturating_sub(with_reason);
            let is_leak = floors.len() > least && rise >= self.min_growth && floors.is_sorted();
            is_leak.then_some((first, last))
        };
        let (first, last) = spans.into_iter().find_map(risen)?;
        let message = match state.sum.oldest_checkout {
            Some(oldest) => format!(
                "the connections checked out rose from {first} to {last} and none came back; \
                 the oldest has been held for {oldest:.0} s"
            ),
            None => format!(
                "the connections checked out rose from {first} to {last} in 5 minutes \
                             and never fell"
            ),
        };
        Some(holders::with_holders(message, state))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{RunningSessions, Sessions, WorkerHold};
    use crate::state::PoolThresholds;

    /// A pool with these floors, one each five seconds.
    fn over_time(floors: &[u64], oldest: impl Fn(usize) -> Option<f64>) -> Fixture {
        let mut fixture = Fixture::with_workers(&[0]);
        for (at, floor) in floors.iter().enumerate() {
            fixture.check_out(*floor);
            fixture.figures(|figures| figures.oldest_checkout = oldest(at));
            fixture.advance(5);
        }
        fixture
    }

    fn look(floors: &[u64], oldest: impl Fn(usize) -> Option<f64>) -> Vec<Advice> {
        over_time(floors, oldest).judge(&ConnectionLeak::default())
    }

    #[test]
    fn a_connection_held_too_long_is_named_with_its_worker() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.figures(|figures| figures.oldest_checkout = Some(75.4));
        let message = fixture.message(&ConnectionLeak::default());
        assert_eq!(
            message,
            "a connection has been held for 75 s by the worker 1 (the threshold is 60 s)"
        );
    }

    #[test]
    fn a_slow_leak_is_found_before_anything_is_held_too_long() {
        let advice = look(&[0, 1, 3, 5, 7, 9, 11], |at| Some(5.0 * at as f64));
        assert!(advice[0].message.contains("and none came back"), "{advice:?}");
    }

    #[test]
    fn what_leaked_is_told_of_when_it_rises_no_more() {
        let mut floors = vec![0, 0];
        floors.extend([20; 9]);
        let oldest = |at: usize| Some(5.0 * at.saturating_sub(1) as f64);
        let advice = look(&floors, oldest);
        assert!(advice[0].message.contains("rose from 0 to 20"), "{advice:?}");
        floors.push(12);
        floors.push(12);
        assert_eq!(look(&floors, oldest), [], "some came back");
    }

    #[test]
    fn a_rising_load_that_gives_connections_back_is_no_leak() {
        let rising = [0, 2, 4, 6, 8, 10, 12];
        assert_eq!(look(&rising, |_| Some(2.0)), []);
        assert_eq!(look(&rising, |_| None), [], "not seen for long enough");
        assert_eq!(look(&[0, 5, 3, 8, 6, 9, 11], |_| Some(30.0)), [], "some came back");
        assert_eq!(look(&[9; 7], |_| Some(30.0)), [], "one long request");
    }

    #[test]
    fn a_hold_whose_statement_is_in_flight_is_no_leak() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.figures(|figures| figures.oldest_checkout = Some(75.0));
        let mut running = |oldest_seconds| {
            let running = vec![RunningSessions { sessions: 1, oldest_seconds }];
            let sessions = Sessions { running, ..Sessions::default() };
            fixture.databases = Fixture::with_sessions(sessions).databases;
            fixture.judge(&ConnectionLeak::default()).len()
        };
        assert_eq!([running(74.0), running(40.0)], [0, 0]);
        assert_eq!(running(600.0), 1, "that is another one's");
        assert_eq!(running(0.2), 1, "so is that");
    }

    #[test]
    fn by_what_the_client_says_a_hold_is_with_reason_or_not() {
        let mut fixture = Fixture::with_workers(&[2]);
        fixture.figures(|figures| figures.oldest_checkout = Some(75.0));
        let mut holds = |held: &[(&str, bool)]| {
            let hold = |(sql, active): &(&str, bool)| WorkerHold {
                hold: Hold {
                    age: 75.0,
                    sql: Some((*sql).to_owned()),
                    active: Some(*active),
                    ..Hold::default()
                },
                ..WorkerHold::default()
            };
            fixture.pools[0].pool.holders.holds = held.iter().map(hold).collect();
            fixture.judge(&ConnectionLeak::default()).len()
        };
        assert_eq!(holds(&[("SELECT 1", false)]), 1);
        let with_reason =
            [("SELECT 1", true), ("LISTEN jobs", false), ("SELECT pg_try_advisory_lock(?)", false)];
        assert_eq!(holds(&with_reason), 0, "a statement hangs, another listens, another leads");
        assert_eq!(holds(&[("LISTEN jobs", false), ("SELECT 1", false)]), 1);
    }

    #[test]
    fn a_pool_may_hold_for_longer_than_others() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.figures(|figures| figures.oldest_checkout = Some(75.0));
        let long = PoolThresholds {
            held_too_long: Some(Duration::from_mins(60)),
            ..PoolThresholds::default()
        };
        fixture.thresholds.pools.insert("web".into(), long);
        assert_eq!(fixture.judge(&ConnectionLeak::default()), []);
    }

    #[test]
    fn connections_that_listen_in_many_workers_are_no_leak() {
        let floors: Vec<u64> = [0, 0].into_iter().chain([4; 9]).collect();
        let oldest = |at: usize| Some(5.0 * at.saturating_sub(1) as f64);
        assert_eq!(look(&floors, oldest).len(), 1);
        let hold = Hold { age: 45.0, sql: Some("LISTEN jobs".to_owned()), ..Hold::default() };
        let listens = WorkerHold { hold, ..WorkerHold::default() };
        let mut fixture = over_time(&floors, oldest);
        fixture.pools[0].pool.holders.holds = vec![listens; 4];
        assert_eq!(fixture.judge(&ConnectionLeak::default()), []);
    }

    #[test]
    fn holds_that_rise_in_a_pool_that_may_hold_for_long_are_no_leak() {
        let floors: Vec<u64> = [0, 0].into_iter().chain([5; 9]).collect();
        let mut fixture = over_time(&floors, |at| Some(5.0 * at.saturating_sub(1) as f64));
        let long = PoolThresholds {
            held_too_long: Some(Duration::from_mins(60)),
            ..PoolThresholds::default()
        };
        fixture.thresholds.pools.insert("web".into(), long);
        assert_eq!(fixture.judge(&ConnectionLeak::default()), []);
    }

    #[test]
    fn where_holds_cannot_be_seen_a_leak_takes_longer_to_be_sure_of() {
        let floors: Vec<u64> = (0..64).map(|at| at / 8).collect();
        let advice = look(&floors, |_| None);
        assert!(advice[0].message.contains("never fell"), "{advice:?}");
    }
}
