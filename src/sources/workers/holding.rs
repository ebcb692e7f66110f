//! The holders of each pool over the workers that live.

use std::collections::HashMap;

use super::endpoints::Endpoints;
use super::instance::Instance;
use crate::reading::{Holders, WorkerHold};
use poolwatch_client::report::{HOLDS, PoolReport};

/// What living workers hold, by pool.
#[derive(Debug, Default)]
pub(super) struct Holding<'a> {
    checked_out: HashMap<&'a str, HashMap<&'a str, u64>>,
    holds: HashMap<&'a str, Vec<WorkerHold>>,
}

impl<'a> Holding<'a> {
    /// Adds up the last reports of workers that live.
    pub(super) fn new(live: impl Iterator<Item = (&'a Instance, &'a PoolReport)>) -> Self {
        let mut holding = Self::default();
        for (instance, pool) in live {
            let checked_out = holding.checked_out.entry(&pool.name).or_default();
            for endpoint in &pool.endpoints {
                *checked_out.entry(&endpoint.name).or_default() += endpoint.checked_out;
            }
            let holds = pool.holds.iter().map(|hold| WorkerHold {
                pid: instance.pid,
                app: instance.app.clone(),
                hold: hold.clone(),
            });
            holding.holds.entry(&pool.name).or_default().extend(holds);
        }
        holding
    }

    /// The holders of one pool, with the sums of its endpoints.
    pub(super) fn of_pool(&mut self, name: &str, endpoints: &Endpoints) -> Holders {
        let mut holds = self.holds.remove(name).unwrap_or_default();
        holds.sort_by(|a, b| b.hold.age.total_cmp(&a.hold.age));
        holds.truncate(HOLDS);
        let checked_out = self.checked_out.remove(name).unwrap_or_default();
        Holders { endpoints: endpoints.reading(&checked_out), holds }
    }
}
