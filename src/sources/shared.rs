//! Pools in this process: poolwatch's own connections, shown as the pool `poolwatch`.

use crate::pool::SharedPool;
use crate::postgres::APPLICATION_NAME;
use crate::reading::{Origin, Pool, Reading, Timings, Totals};

/// Every pool of this process, one for each database, shown as one.
#[derive(Debug)]
pub struct Shared {
    pools: Vec<SharedPool>,
}

impl Shared {
    /// Shows these pools.
    pub fn open(pools: Vec<SharedPool>) -> Self {
        Self { pools }
    }

    /// Their figures now.
    pub fn read(&mut self) -> Reading {
        let all = Pool {
            name: APPLICATION_NAME.to_owned(),
            origin: Origin::Shared,
            workers: Vec::new(),
            worker_count: None,
            totals: Totals::default(),
            timings: Timings::default(),
        };
        let all = self.pools.iter().map(SharedPool::reading).fold(all, |mut all, one| {
            all.workers.extend(one.workers);
            all.totals = all.totals.plus(&one.totals);
            all.timings.merge(&one.timings);
            all
        });
        Reading { pools: vec![all], ..Reading::default() }
    }
}
