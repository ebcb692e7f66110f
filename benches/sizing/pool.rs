//! A pool of a number of connections under a workload: who comes when, waits how long and holds a
//! connection how long.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::workload::{Chance, Micros, Workload};

/// The time after which a caller gives up.
const TIMEOUT: Micros = 30_000_000;

/// One caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) came: Micros,
    /// When it got a connection, or gave up.
    pub(crate) acquired: Micros,
    /// When it returned the connection; at once where it got none.
    pub(crate) returned: Micros,
}

impl Call {
    pub(crate) fn waited(&self) -> Micros {
        self.acquired - self.came
    }
}

/// All callers of a workload in a pool of so many connections, in the order in which they came.
pub(crate) fn run(workload: &Workload, connections: u64) -> Vec<Call> {
    let mut pool = Pool { free: (0..connections).map(|_| Reverse(0)).collect() };
    match workload {
        Workload::Open(arrivals) => {
            arrivals.iter().map(|(came, hold)| pool.call(*came, *hold)).collect()
        }
        Workload::Closed { threads, length, think, hold, seed } => {
            let mut chance = Chance::with_seed(*seed);
            let mut next: BinaryHeap<_> =
                (0..*threads).map(|_| Reverse(think(&mut chance))).collect();
            let mut calls = Vec::new();
            while let Some(Reverse(came)) = next.pop().filter(|next| next.0 < *length) {
                let call = pool.call(came, hold(&mut chance));
                next.push(Reverse(call.returned + think(&mut chance)));
                calls.push(call);
            }
            calls
        }
    }
}

struct Pool {
    free: BinaryHeap<Reverse<Micros>>,
}

impl Pool {
    fn call(&mut self, came: Micros, hold: Micros) -> Call {
        let mut next = self.free.peek_mut().unwrap();
        let acquired = next.0.max(came);
        if acquired - came > TIMEOUT {
            let gave_up = came + TIMEOUT;
            return Call { came, acquired: gave_up, returned: gave_up };
        }
        next.0 = acquired + hold;
        Call { came, acquired, returned: acquired + hold }
    }
}

/// The share of the callers that waited longer than the target.
pub(crate) fn late_share(calls: &[Call], target: Micros) -> f64 {
    let late = calls.iter().filter(|call| call.waited() > target).count();
    late as f64 / calls.len() as f64
}
