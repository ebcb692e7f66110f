//! A pool of another size than its workers need.

use std::time::Duration;

use serde::Deserialize;

use super::connection_budget::granted;
use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::sizing::{LATE_SHARE, Sizing, TARGET};
use crate::state::PoolState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PoolSize {
    enabled: bool,
    /// The time that must have been observed.
    #[serde(with = "humantime_serde")]
    min_observed: Duration,
    /// The time that must have been observed before a pool is called too large.
    #[serde(with = "humantime_serde")]
    min_observed_too_large: Duration,
    /// The checkouts that must have been observed.
    min_samples: u64,
    /// The share of the time with overflow from which that is the norm.
    overflow_share: f64,
}

impl Default for PoolSize {
    fn default() -> Self {
        Self {
            enabled: true,
            min_observed: Duration::from_mins(15),
            min_observed_too_large: Duration::from_hours(1),
            min_samples: 500,
            overflow_share: 0.2,
        }
    }
}

impl Rule for PoolSize {
    fn name(&self) -> &'static str {
        "pool_size"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, context)).collect()
    }
}

/// One worker's pool.
#[derive(Clone, Copy, Debug)]
struct Each {
    workers: u64,
    size: u64,
    /// `None` of a pool without a limit.
    capacity: Option<u64>,
}

impl PoolSize {
    fn judge_pool(&self, state: &PoolState, context: &RuleContext<'_>) -> Option<Advice> {
        let sizing = state.sizing.as_ref()?;
        if sizing.observed < self.min_observed || sizing.checkouts < self.min_samples {
            return None;
        }
        let workers = state.pool.workers.len() as u64;
        let each = |sum: u64| sum.div_ceil(workers.max(1));
        let each =
            Each { workers, size: each(state.sum.size?), capacity: state.sum.capacity().map(each) };
        let trouble = self.trouble(sizing, each)?;
        let message = format!("{trouble}: {}", arithmetic(sizing));
        let remedy = remedy(sizing, each, granted(context));
        Some(Advice::new(Severity::Info, &state.pool.name, message, remedy))
    }

    fn trouble(&self, sizing: &Sizing, each: Each) -> Option<String> {
        let is_measured = sizing.observed_at_size >= self.min_observed;
        if let Some(trouble) = self.measured_trouble(sizing, each).filter(|_| is_measured) {
            return Some(trouble);
        }
        let is_too_large = 2 * sizing.peak.max(sizing.size) <= each.size
            && each.size >= sizing.peak + 4
            && sizing.observed >= self.min_observed_too_large;
        is_too_large.then(|| {
            format!(
                "each worker keeps up to {} connections, and never used more than {} in {}",
                each.size,
                sizing.peak,
                seen(sizing)
            )
        })
    }

    /// What callers met with the pool's present size.
    fn measured_trouble(&self, sizing: &Sizing, each: Each) -> Option<String> {
        let seen = seen_at_size(sizing);
        let is_too_small = |capacity: &u64| *capacity < sizing.size.min(sizing.peak);
        if let Some(capacity) = each.capacity.filter(is_too_small)
            && sizing.waited > LATE_SHARE
        {
            let (waited, target) = (percent(sizing.waited), TARGET.as_millis());
            let hour = if sizing.has_waited_in_busiest_hour { "the busiest hour of " } else { "" };
            return Some(format!(
                "{waited} of the checkouts in {hour}{seen} waited longer than {target} ms, with \
                 {capacity} connections in each worker"
            ));
        }
        (sizing.above_size >= self.overflow_share && sizing.size >= each.size + 2).then(|| {
            let (above, size) = (percent(sizing.above_size), each.size);
            format!(
                "overflow is the norm: in {above} of the seconds of {seen} more than the \
                 pool_size of {size} were taken, and what overflows is closed when it is returned"
            )
        })
    }
}

/// Why the pool needs that size.
fn arithmetic(sizing: &Sizing) -> String {
    let Sizing { rate, hold, size, late, late_with_less, peak, .. } = sizing;
    let (load, target) = (sizing.load(), TARGET.as_millis());
    let less = match size {
        1 => String::new(),
        _ => format!(", with {} {}", size - 1, percent(*late_with_less)),
    };
    let hour = if sizing.is_of_busiest_hour { "in the busiest hour " } else { "" };
    format!(
        "{hour}{rate:.1} checkouts/s × {:.1} ms = {load:.1} in use on average, {peak} at most; with {size} \
         {} of the checkouts would wait longer than {target} ms{less}",
        1000.0 * hold,
        percent(*late)
    )
}

/// `granted` are the connections that the server has for the pools.
fn remedy(sizing: &Sizing, each: Each, granted: Option<u64>) -> String {
    let (size, overflow, workers) = (sizing.size, sizing.overflow(), each.workers);
    let all = workers * (size + overflow);
    let settings = format!(
        "set pool_size={size} and max_overflow={overflow} in each worker: {workers} × ({size} + \
         {overflow}) = {all} connections to the server"
    );
    match granted {
        Some(granted) if all > granted => {
            format!("{settings}. It grants {granted}: have fewer workers, or put PgBouncer between")
        }
        Some(granted) => format!("{settings}, which grants {granted}"),
        None => format!("{settings}; see that it grants so many"),
    }
}

/// The share of a time from which what was observed in it counts as all of it.
const WHOLE: f64 = 0.9;

/// Such as "the last 3 hours", or "20 of the last 72 hours" where there was something to observe in a
/// part of them only.
fn seen(sizing: &Sizing) -> String {
    let Sizing { observed, span: within, .. } = sizing;
    if observed.as_secs_f64() >= WHOLE * within.as_secs_f64() {
        return format!("the last {}", span(*within));
    }
    let (unit, name) = if *within < 2 * HOUR { (MINUTE, "minutes") } else { (HOUR, "hours") };
    let whole = |time: &Duration| time.as_secs() / unit.as_secs();
    format!("{} of the last {} {name}", whole(observed), whole(within))
}

/// As [`seen`], of the time in which the pool had the size that it has now.
fn seen_at_size(sizing: &Sizing) -> String {
    let Sizing { observed, observed_at_size: at_size, .. } = sizing;
    if at_size.as_secs_f64() >= WHOLE * observed.as_secs_f64() {
        return seen(sizing);
    }
    format!("the {} with the present size", span(*at_size))
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Such as "3 hours"; not longer than it was, in whole units.
fn span(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    match hours {
        0 | 1 => format!("{} minutes", span.as_secs() / 60),
        2..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent < 0.05 => "none".to_owned(),
        percent if percent < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{MaxOverflow, Sessions};

    fn sizing() -> Sizing {
        Sizing {
            span: 3 * HOUR,
            observed: 3 * HOUR,
            observed_at_size: 3 * HOUR,
            is_of_busiest_hour: false,
            checkouts: 100_000,
            rate: 42.0,
            hold: 0.11,
            peak: 12,
            above_size: 0.0,
            waited: 0.002,
            has_waited_in_busiest_hour: false,
            size: 9,
            late: 0.007,
            late_with_less: 0.016,
        }
    }

    fn judge(size: u64, overflow: u64, sizing: Sizing) -> Vec<Advice> {
        let sessions = Sessions { max_connections: Some(97), own: 2, ..Sessions::default() };
        let mut fixture = Fixture::with_sessions(sessions);
        fixture.pools = Fixture::with_workers(&[1; 4]).pools;
        fixture.figures(|figures| {
            figures.size = Some(size);
            figures.max_overflow = Some(MaxOverflow::Limited(overflow));
        });
        fixture.pools[0].sizing = Some(sizing);
        fixture.judge(&PoolSize::default())
    }

    #[test]
    fn a_pool_that_is_too_small_has_the_arithmetic() {
        let advice = judge(5, 2, Sizing { waited: 0.031, ..sizing() });
        assert_eq!(
            advice[0].message,
            "3.1 % of the checkouts in the last 3 hours waited longer than 10 ms, with 7 connections \
             in each worker: 42.0 checkouts/s × 110.0 ms = 4.6 in use on average, 12 at most; with 9 \
             0.7 % of the checkouts would wait longer than 10 ms, with 8 1.6 %"
        );
        assert_eq!(
            advice[0].remedy,
            "set pool_size=9 and max_overflow=3 in each worker: 4 × (9 + 3) = 48 connections to the \
             server, which grants 95"
        );
        assert_eq!(advice[0].severity, Severity::Info);
        let jam = judge(5, 2, Sizing { waited: 0.031, peak: 500, ..sizing() });
        assert!(jam[0].remedy.contains("max_overflow=9 in each"), "{}", jam[0].remedy);
        let many = judge(5, 2, Sizing { waited: 0.031, peak: 40, size: 15, ..sizing() });
        assert!(many[0].remedy.contains("It grants 95: have fewer workers"), "{}", many[0].remedy);
    }

    #[test]
    fn a_pool_whose_callers_do_not_wait_is_not_too_small() {
        assert_eq!(judge(5, 2, sizing()), []);
        assert_eq!(
            judge(9, 3, Sizing { waited: 0.031, ..sizing() }),
            [],
            "they wait for the server"
        );
    }

    #[test]
    fn a_pool_is_too_large_after_an_hour_in_which_half_was_never_used() {
        let quiet = Sizing { peak: 4, size: 3, ..sizing() };
        let advice = judge(20, 0, quiet.clone());
        let expected = "each worker keeps up to 20 connections, and never used more than 4 in the last \
                        3 hours: ";
        assert!(advice[0].message.starts_with(expected), "{}", advice[0].message);
        assert!(advice[0].remedy.starts_with("set pool_size=3 and max_overflow=1 in each worker"));
        assert_eq!(judge(20, 0, Sizing { observed: HOUR / 2, ..quiet.clone() }), []);
        assert_eq!(judge(7, 15, quiet.clone()), [], "what it may open costs nothing");
        assert_eq!(judge(6, 0, Sizing { peak: 3, ..quiet }), [], "a few are not worth a change");
    }

    #[test]
    fn overflow_is_the_norm_where_it_is_used_much_of_the_time() {
        let advice = judge(5, 15, Sizing { above_size: 0.42, ..sizing() });
        let expected = "overflow is the norm: in 42 % of the seconds of the last 3 hours";
        assert!(advice[0].message.starts_with(expected), "{}", advice[0].message);
        assert_eq!(judge(5, 15, Sizing { above_size: 0.1, ..sizing() }), []);
        assert_eq!(
            judge(8, 15, Sizing { above_size: 0.42, ..sizing() }),
            [],
            "that is near enough"
        );
    }

    #[test]
    fn nothing_is_said_before_enough_was_seen() {
        let small = Sizing { waited: 0.031, ..sizing() };
        assert_eq!(judge(5, 2, Sizing { observed: 10 * MINUTE, ..small.clone() }), []);
        assert_eq!(judge(5, 2, Sizing { checkouts: 400, ..small }), []);
    }

    #[test]
    fn waits_are_those_with_the_present_size() {
        let small = Sizing { waited: 0.031, observed_at_size: 2 * HOUR, ..sizing() };
        let advice = judge(5, 2, small.clone());
        let expected = "3.1 % of the checkouts in the 2 hours with the present size waited longer";
        assert!(advice[0].message.starts_with(expected), "{advice:?}");
        assert_eq!(judge(5, 2, Sizing { observed_at_size: 10 * MINUTE, ..small }), []);
    }

    #[test]
    fn a_span_is_not_longer_than_it_was() {
        let minutes = |minutes| span(minutes * MINUTE);
        assert_eq!([minutes(17), minutes(119)], ["17 minutes", "119 minutes"]);
        assert_eq!([minutes(60 * 24), minutes(60 * 71)], ["24 hours", "2 days"]);
    }

    #[test]
    fn a_time_in_which_there_were_no_workers_was_not_seen() {
        let seen = |observed, span| seen(&Sizing { span, observed, ..sizing() });
        assert_eq!(seen(70 * HOUR, 72 * HOUR), "the last 3 days");
        assert_eq!(seen(20 * HOUR, 72 * HOUR), "20 of the last 72 hours");
        assert_eq!(seen(20 * MINUTE, HOUR), "20 of the last 60 minutes");
    }

    #[test]
    fn the_busiest_hour_of_the_week_is_named() {
        let observed = 168 * HOUR;
        let week = Sizing { span: observed, observed, observed_at_size: observed, ..sizing() };
        let busiest = Sizing {
            waited: 0.031,
            is_of_busiest_hour: true,
            has_waited_in_busiest_hour: true,
            ..week.clone()
        };
        let advice = judge(5, 2, busiest);
        let expected = "3.1 % of the checkouts in the busiest hour of the last 7 days waited longer \
                        than 10 ms, with 7 connections in each worker: in the busiest hour 42.0 \
                        checkouts/s";
        assert!(advice[0].message.starts_with(expected), "{}", advice[0].message);
        let quiet = judge(20, 0, Sizing { peak: 4, size: 3, ..week });
        assert!(quiet[0].message.contains("never used more than 4 in the last 7 days"));
    }
}
