//! The endpoints of one pool over the workers of all times: a bounded number by name, the rest as one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::reading::{Endpoint, EndpointTotals};
use poolwatch_client::report::{OTHER, PoolReport};

/// The time for which an endpoint did nothing before it gives way to one more.
const IDLE: Duration = Duration::from_mins(5);

/// The most endpoints of one pool of a worker that are remembered while its reports leave them out: what
/// the Python client remembers.
const CARRIED: usize = 220;

/// The sums of each endpoint. Like those of the pool they never fall; one that gives way ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    named: BTreeMap<String, Sum>,
    other: Option<EndpointTotals>,
}

#[derive(Clone, Debug)]
struct Sum {
    totals: EndpointTotals,
    /// When it last had connections, or returned one.
    used_at: Instant,
}

impl Endpoints {
    /// Adds what a worker counted since its last report, by at most so many names. Returns the number
    /// of endpoints that were summed, for there was no room for their names.
    pub(super) fn add(
        &mut self,
        now: &PoolReport,
        before: Option<&PoolReport>,
        max: usize,
        received_at: Instant,
    ) -> u64 {
        let mut summed = 0;
        for endpoint in &now.endpoints {
            let before = before.and_then(|before| find(before, &endpoint.name));
            let growth = match before {
                Some(before) => endpoint.totals.since(&before.totals),
                None => endpoint.totals.clone(),
            };
            let totals = if self.has_room(&endpoint.name, max, received_at) {
                let sum = self.named.entry(endpoint.name.clone()).or_insert_with(|| Sum {
                    totals: EndpointTotals::default(),
                    used_at: received_at,
                });
                if endpoint.checked_out > 0 || growth.checkouts > 0 {
                    sum.used_at = received_at;
                }
                &mut sum.totals
            } else {
                summed += u64::from(endpoint.name != OTHER);
                self.other.get_or_insert_default()
            };
            totals.merge(&growth);
        }
        summed
    }

    /// The number of endpoints that have a name.
    pub(super) fn named(&self) -> usize {
        self.named.len()
    }

    /// When the one was used that did nothing for longest.
    pub(super) fn longest_unused(&self) -> Option<Instant> {
        self.named.values().map(|sum| sum.used_at).min()
    }

    /// Forgets the one that did nothing for longest.
    pub(super) fn forget_longest_unused(&mut self) {
        let oldest = self.named.iter().min_by_key(|(_, sum)| sum.used_at);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.named.remove(&name);
        }
    }

    /// True when the endpoint has a sum of its own, or there is room for it.
    fn has_room(&mut self, name: &str, max: usize, now: Instant) -> bool {
        if name == OTHER {
            return false;
        }
        if self.named.contains_key(name) || self.named.len() < max {
            return true;
        }
        let idle = self.named.iter().filter(|(_, sum)| sum.used_at + IDLE <= now);
        let oldest = idle.min_by_key(|(_, sum)| sum.used_at).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.named.remove(&name).is_some())
    }

    /// The endpoints with the connections that living workers hold, those that hold most first, and
    /// the rest at the end.
    pub(super) fn reading(&self, checked_out: &HashMap<&str, u64>) -> Vec<Endpoint> {
        let named = self.named.iter().map(|(name, sum)| Endpoint {
            name: name.clone(),
            checked_out: checked_out.get(name.as_str()).copied().unwrap_or(0),
            totals: sum.totals.clone(),
        });
        let mut endpoints: Vec<_> = named.collect();
        endpoints.sort_by(|a, b| {
            let by_out = b.checked_out.cmp(&a.checked_out);
            by_out.then_with(|| b.totals.held.total_cmp(&a.totals.held))
        });
        let unnamed = checked_out.iter().filter(|(name, _)| !self.named.contains_key(**name));
        let rest = unnamed.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        if self.other.is_some() || rest > 0 {
            endpoints.push(Endpoint {
                name: OTHER.to_owned(),
                checked_out: rest,
                totals: self.other.clone().unwrap_or_default(),
            });
        }
        endpoints
    }
}

fn find<'a>(pool: &'a PoolReport, name: &str) -> Option<&'a poolwatch_client::report::Endpoint> {
    pool.endpoints.iter().find(|endpoint| endpoint.name == name)
}

/// Fills in the endpoints that a report leaves out, to go on from when they are reported again. They
/// hold nothing meanwhile.
pub(super) fn carry(now: &mut PoolReport, before: &PoolReport) {
    for endpoint in &before.endpoints {
        if now.endpoints.len() >= CARRIED {
            return;
        }
        if find(now, &endpoint.name).is_none() {
            now.endpoints.push(Endpoint { checked_out: 0, ..endpoint.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 3;

    fn report(endpoints: &[(&str, u64, u64)]) -> PoolReport {
        let endpoint = |&(name, checked_out, checkouts): &(&str, u64, u64)| Endpoint {
            name: name.into(),
            checked_out,
            totals: EndpointTotals { checkouts, held: checkouts as f64 / 4.0, hold: None },
        };
        PoolReport {
            name: "web".into(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            ..PoolReport::default()
        }
    }

    fn shown(endpoints: &Endpoints, out: &[(&str, u64)]) -> Vec<(String, u64, u64)> {
        let out = out.iter().copied().collect();
        let reading = endpoints.reading(&out).into_iter();
        reading.map(|one| (one.name, one.checked_out, one.totals.checkouts)).collect()
    }

    fn row(name: &str, checked_out: u64, checkouts: u64) -> (String, u64, u64) {
        (name.to_owned(), checked_out, checkouts)
    }

    #[test]
    fn only_the_growth_is_added_and_the_greatest_holder_comes_first() {
        let (mut endpoints, now) = (Endpoints::default(), Instant::now());
        let first = report(&[("GET /a", 1, 4), ("GET /b", 2, 3), (OTHER, 1, 1)]);
        endpoints.add(&first, None, MAX, now);
        let mut second = report(&[("GET /b", 2, 5)]);
        endpoints.add(&second, Some(&first), MAX, now);
        carry(&mut second, &first);
        let third = report(&[("GET /a", 0, 6), (OTHER, 0, 3)]);
        endpoints.add(&third, Some(&second), MAX, now);
        let expected = [row("GET /b", 2, 5), row("GET /a", 1, 6), row(OTHER, 1, 3)];
        assert_eq!(shown(&endpoints, &[("GET /b", 2), ("GET /a", 1), (OTHER, 1)]), expected);
    }

    #[test]
    fn endpoints_beyond_the_limit_are_the_rest_until_one_is_idle() {
        let (mut endpoints, now) = (Endpoints::default(), Instant::now());
        endpoints.add(
            &report(&[("a", 0, 1), ("b", 0, 1), ("c", 0, 1), ("d", 1, 7)]),
            None,
            MAX,
            now,
        );
        let expected = [row("a", 0, 1), row("b", 0, 1), row("c", 0, 1), row(OTHER, 1, 7)];
        assert_eq!(shown(&endpoints, &[("d", 1)]), expected);
        let later = now + IDLE;
        endpoints.add(&report(&[("e", 1, 2)]), None, MAX, later);
        let names: Vec<_> = shown(&endpoints, &[("e", 1)]).into_iter().map(|row| row.0).collect();
        assert_eq!((names.len(), names[0].as_str()), (4, "e"));
        assert_eq!(shown(&endpoints, &[]).last(), Some(&row(OTHER, 0, 7)));
    }

    #[test]
    fn switched_off_there_is_only_the_rest() {
        let mut endpoints = Endpoints::default();
        endpoints.add(&report(&[("a", 1, 1)]), None, 0, Instant::now());
        assert_eq!(shown(&endpoints, &[("a", 1)]), [row(OTHER, 1, 1)]);
    }
}
