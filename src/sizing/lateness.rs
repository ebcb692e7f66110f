//! How many checkouts would wait too long, by the number of connections.

use super::queue::{Checkout, Micros, late};

/// The most connections of one worker's pool that are tried.
pub(super) const MOST: u64 = 512;

/// Checkouts that would wait too long in a pool of each number of connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Lateness {
    /// By the number of connections. Beyond the last nobody would wait too long.
    late: Vec<f64>,
    checkouts: f64,
}

impl Lateness {
    /// That of a trace, which stands for so many checkouts.
    pub(super) fn new(trace: &[Checkout], period: Micros, longer: Micros, checkouts: f64) -> Self {
        if trace.is_empty() || period == 0 {
            return Self::default();
        }
        let weight = checkouts / trace.len() as f64;
        let held: Micros = trace.iter().map(|checkout| checkout.hold).sum();
        // With fewer than are in use on average more and more callers wait.
        let first = (held / period).clamp(1, MOST);
        let mut late_with = vec![checkouts; usize::try_from(first).unwrap_or(0)];
        let mut connections = first;
        while connections <= MOST {
            let count = late(trace, period, connections, longer);
            let count = weight * count as f64;
            // Where some were left out, on the line between those beside them.
            let before = late_with.last().copied().unwrap_or(checkouts);
            let steps = (connections + 1).saturating_sub(late_with.len() as u64);
            for step in 1..=steps {
                late_with.push(before + (count - before) * step as f64 / steps as f64);
            }
            if count == 0.0 {
                break;
            }
            connections += 1 + connections / 40;
        }
        Self { late: late_with, checkouts }
    }

    /// Adds another's.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.late.len() < other.late.len() {
            self.late.resize(other.late.len(), 0.0);
        }
        for (mine, theirs) in self.late.iter_mut().zip(&other.late) {
            *mine += theirs;
        }
        self.checkouts += other.checkouts;
    }

    /// The share of the checkouts that would wait too long.
    pub(super) fn share(&self, connections: u64) -> f64 {
        let late = usize::try_from(connections).ok().and_then(|at| self.late.get(at));
        late.map_or(0.0, |late| late / self.checkouts)
    }

    /// The least number of connections with which no larger share waits too long; `None` above
    /// the most that are tried.
    pub(super) fn least(&self, share: f64) -> Option<u64> {
        (1..=MOST).find(|connections| self.share(*connections) <= share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_number_lets_all_but_a_share_through_in_time() {
        let at_once: Vec<_> = (0..20).map(|_| Checkout { at: 0, hold: 500_000 }).collect();
        let mut lateness = Lateness::new(&at_once, 60_000_000, 10_000, 20.0);
        assert_eq!([lateness.least(0.01), lateness.least(0.05)], [Some(20), Some(19)]);
        let apart: Vec<_> =
            (0..20).map(|number| Checkout { at: 1_000_000 * number, hold: 500_000 }).collect();
        lateness.merge(&Lateness::new(&apart, 60_000_000, 10_000, 1_980.0));
        assert_eq!(lateness.least(0.01), Some(1), "of 2,000 only 19 come at once");
        assert_eq!(lateness.share(10), 10.0 / 2_000.0);
    }
}
