//! A pool as a queue: callers come, wait for one of its connections in the order in which they
//! came, hold it and return it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A point or a length of time in microseconds.
pub(super) type Micros = u64;

/// Seconds in microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in hours")]
pub(super) fn micros(seconds: f64) -> Micros {
    (1e6 * seconds) as Micros
}

/// One checkout: when a connection is asked for, and how long it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) at: Micros,
    pub(super) hold: Micros,
}

/// A pool of a number of connections, or of as many as are asked for.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// When each connection is free again, where their number is limited.
    free: Option<BinaryHeap<Reverse<Micros>>>,
    /// When each caller that waits or holds a connection will have returned it.
    returns: BinaryHeap<Reverse<Micros>>,
}

impl Queue {
    pub(super) fn new(connections: Option<u64>) -> Self {
        let free = connections.map(|count| (0..count.max(1)).map(|_| Reverse(0)).collect());
        Self { free, returns: BinaryHeap::new() }
    }

    /// Takes in a caller that comes after all before; returns the time for which it waits.
    pub(super) fn check_out(&mut self, checkout: Checkout) -> Micros {
        let Checkout { at, hold } = checkout;
        let Some(free) = &mut self.free else {
            self.returns.push(Reverse(at + hold));
            return 0;
        };
        let mut next = free.peek_mut().expect("a limited pool has a connection");
        let start = next.0.max(at);
        next.0 = start + hold;
        self.returns.push(Reverse(start + hold));
        start - at
    }

    /// The callers that wait or hold a connection at a time not before that of the last checkout.
    pub(super) fn present(&mut self, at: Micros) -> u64 {
        while self.returns.peek().is_some_and(|next| next.0 <= at) {
            self.returns.pop();
        }
        self.returns.len() as u64
    }
}

/// The number of checkouts that would wait longer than a time in a pool of so many connections,
/// if what happened went on to happen again and again.
pub(super) fn late(trace: &[Checkout], period: Micros, connections: u64, longer: Micros) -> u64 {
    let mut free: BinaryHeap<_> = (0..connections.max(1)).map(|_| Reverse(0)).collect();
    let mut count = 0;
    // The first pass fills the pool, as it was when the trace began.
    for pass in [0, 1] {
        count = 0;
        for checkout in trace {
            let at = checkout.at + pass * period;
            let mut next = free.peek_mut().expect("there is a connection");
            let start = next.0.max(at);
            next.0 = start + checkout.hold;
            count += u64::from(start - at > longer);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(callers: u64, hold: Micros) -> Vec<Checkout> {
        (0..callers).map(|_| Checkout { at: 0, hold }).collect()
    }

    #[test]
    fn those_who_come_at_once_wait_for_those_before() {
        let late = |connections| late(&burst(20, 500_000), 60_000_000, connections, 10_000);
        assert_eq!([late(20), late(19), late(10), late(1)], [0, 1, 10, 19]);
    }

    #[test]
    fn short_holds_let_many_through_in_time() {
        // The k-th of 200 waits k / 20 ms for 20 connections.
        assert_eq!(late(&burst(200, 1_000), 60_000_000, 20, 10_000), 0);
        assert_eq!(late(&burst(200, 1_000), 60_000_000, 10, 10_000), 90);
    }

    #[test]
    fn who_waits_is_present_as_well() {
        for (connections, waits) in [(None, 0), (Some(1), 30)] {
            let mut queue = Queue::new(connections);
            queue.check_out(Checkout { at: 0, hold: 40 });
            assert_eq!(queue.check_out(Checkout { at: 10, hold: 5 }), waits);
            assert_eq!([queue.present(10), queue.present(42)], [2, u64::from(waits > 0)]);
        }
    }
}
