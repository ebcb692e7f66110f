//! The holds of callers who come at the same moment, where they differ from those of the others: a
//! job that takes many connections at once often keeps them for longer than a request does.

use super::holds::{BUCKETS, Holds};
use crate::reading::Demand;

/// The fewest callers at the same moment that are told apart from the others.
const FEWEST: u64 = 4;
/// The least share of those who came at once whose holds must be found.
const LEAST_FOUND: f64 = 0.5;
/// By how much their mean hold must be longer than that of the others.
const LEAST_RATIO: f64 = 1.5;

/// The holds of those who come at once, and of all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix<'a> {
    pub(super) bursts: &'a Holds,
    pub(super) others: &'a Holds,
}

/// The holds of those who came at once in some seconds, and of the others, where they differ.
///
/// Most holds end in the second in which they begin, or in the next. What ends there in excess of what
/// ends in other seconds for each caller are the holds of those who came at once.
pub(super) fn split(demands: &[Demand], together: &[u64], all: &Holds) -> Option<(Holds, Holds)> {
    let (mut near, mut apart) = ([0.0; BUCKETS], [0.0; BUCKETS]);
    let (mut at_once, mut beside, mut before) = (0, 0, 0);
    for (demand, together) in demands.iter().zip(together) {
        let burst = if *together >= FEWEST { (*together).min(demand.callers) } else { 0 };
        let is_near = burst > 0 || before > 0;
        let sums = if is_near { &mut near } else { &mut apart };
        for (sum, count) in sums.iter_mut().zip(demand.holds) {
            *sum += f64::from(count);
        }
        if is_near {
            at_once += burst;
            beside += demand.callers - burst;
        }
        before = burst;
    }
    let others: f64 = apart.iter().sum();
    if at_once == 0 || others < 1.0 {
        return None;
    }
    let usual = beside as f64 / others;
    for (near, apart) in near.iter_mut().zip(apart) {
        *near = (*near - usual * apart).max(0.0);
    }
    let is_found = near.iter().sum::<f64>() >= LEAST_FOUND * at_once as f64;
    let (bursts, others) = (all.with_counts(&near)?, all.with_counts(&apart)?);
    (is_found && bursts.mean() >= LEAST_RATIO * others.mean()).then_some((bursts, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{HOLD_BOUNDS, Histogram};

    /// Seconds of ten short holds each; in every tenth as many long ones, of callers who come at once.
    fn seconds(long: usize) -> (Vec<Demand>, Vec<u64>, Holds) {
        let mut all = Histogram::new(HOLD_BOUNDS);
        let mut demands = Vec::new();
        for second in 0..100 {
            let mut demand = Demand { callers: 10, ..Demand::default() };
            let mut ends = |seconds: f64, count: u16| {
                demand.holds[HOLD_BOUNDS.partition_point(|bound| *bound < seconds)] += count;
                (0..count).for_each(|_| all.observe(seconds));
            };
            ends(0.02, 10);
            if second % 10 == 3 {
                ends(if long > 0 { 0.4 } else { 0.02 }, 6);
                demand.callers += 12;
            }
            if second % 10 == 4 {
                ends(if long > 0 { 0.4 } else { 0.02 }, 6);
            }
            demands.push(demand);
        }
        let together = (0..100).map(|second| if second % 10 == 3 { 12 } else { 1 }).collect();
        (demands, together, Holds::new(&all).unwrap())
    }

    #[test]
    fn long_holds_of_those_who_come_at_once_are_found_in_their_second_and_the_next() {
        let (demands, together, all) = seconds(1);
        let (bursts, others) = split(&demands, &together, &all).unwrap();
        assert!(bursts.mean() > 0.3 && others.mean() < 0.03, "{bursts:?} {others:?}");
    }

    #[test]
    fn holds_of_one_kind_are_not_told_apart() {
        let (demands, together, all) = seconds(0);
        assert!(split(&demands, &together, &all).is_none());
        assert!(split(&demands, &[1; 100], &all).is_none(), "nobody came at once");
    }
}
