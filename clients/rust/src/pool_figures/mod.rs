//! The figures of a pool, as one table: what each is called in a report, as a metric and in JSON.
//!
//! A counter is a row of [`Totals`], a histogram one of [`Timings`], a gauge one of [`Figures`]: its
//! doc comment is the metric's help. Reports, sums over workers, `/metrics` and the health answers
//! go over the rows, so that a new row needs nothing there.

mod cumulative;
mod gauge;

use self::cumulative::cumulative;
pub use self::cumulative::{Cumulative, Grows, Row};
use self::gauge::gauges;
pub use self::gauge::{Gauge, GaugeKind, MaxOverflow, Value, both};
use crate::histogram::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};

gauges! {
    /// A pool's gauges at one moment, in connections.
    pub struct Figures {
        /// Connections the pool keeps, over all workers.
        size: u64 as Count { wire: "size", metric: "db_pool_size", json: "pool_size" }

        /// Connections the pool may open above its size, over all workers; absent when unlimited.
        max_overflow: MaxOverflow as Limit {
            wire: "max_overflow", metric: "db_pool_max_overflow", json: "max_overflow"
        }

        derived capacity as Count "Size and max overflow, over all workers; absent when unlimited." {
            metric: "db_pool_capacity", json: "capacity"
        }

        /// Connections open and resting in the pool.
        checked_in: u64 as Count {
            wire: "checked_in", metric: "db_pool_checked_in", json: "checked_in"
        }

        /// Connections taken by the application.
        checked_out: u64 as Count {
            wire: "checked_out", metric: "db_pool_checked_out", json: "checked_out"
        }

        /// Connections open above the pool's size, never negative.
        overflow: u64 as Count { metric: "db_pool_overflow", json: "overflow" }

        /// Callers waiting for one of the pool's connections, all of which are taken.
        pending: u64 as Count { wire: "pending", metric: "db_pool_pending", json: "pending" }

        /// The most callers that waited at once in the last minute, over all workers.
        pending_peak: u64 as Count { wire: "pending_peak", metric: "db_pool_pending_peak" }

        /// Callers that have a place in the pool and open or check a connection.
        connecting: u64 as Count {
            wire: "connecting", metric: "db_pool_connecting", json: "connecting"
        }

        /// The most connections taken at once in the last minute.
        peak: u64 as Count { wire: "peak" }

        /// Workers whose pool checks each connection before it gives it out, as `pool_pre_ping` does.
        pre_ping: u64 as Count { wire: "pre_ping" }

        /// The time for which a caller waits for a connection at most, as the pool is set.
        timeout: f64 as Seconds { wire: "timeout" }

        /// The age from which a connection is replaced by another, as the pool is set.
        recycle: f64 as Seconds { wire: "recycle" }

        /// The longest current hold of a connection.
        oldest_checkout: f64 as Seconds {
            wire: "oldest",
            metric: "db_pool_oldest_checkout_seconds",
            json: "oldest_checkout_seconds"
        }

        derived utilization as Share "Checked out / capacity over all workers; absent without a capacity." {
            metric: "db_pool_utilization_ratio", json: "utilization_percent"
        }
    }
}

cumulative! {
    /// The counters of a pool since it began.
    #[derive(Copy, Eq)]
    pub struct Totals of u64 {
        /// Acquires that waited until the pool's timeout.
        timeouts {
            wire: "timeouts",
            metric: "db_pool_acquire_timeouts_total",
            json: "acquire_timeouts",
        }

        /// Acquires that failed for another reason than the timeout.
        acquire_errors {
            wire: "acquire_errors",
            metric: "db_pool_acquire_errors_total",
            json: "acquire_errors",
        }

        /// Callers that gave up before they got a connection: cancelled tasks.
        abandoned {
            wire: "abandoned",
            metric: "db_pool_acquires_abandoned_total",
            json: "acquires_abandoned",
        }

        /// Connections opened.
        opened {
            wire: "opened",
            metric: "db_pool_connections_opened_total",
            json: "connections_opened",
        }

        /// Connections thrown away as broken.
        invalidated {
            wire: "invalidated",
            metric: "db_pool_connections_invalidated_total",
            json: "connections_invalidated",
        }

        /// Connections found in a forked process that belong to its parent.
        inherited {
            wire: "inherited",
            metric: "db_pool_inherited_connections_total",
            json: "inherited_connections",
        }

        /// Connections that the garbage collector returned, because the application did not.
        collected {
            wire: "collected",
            metric: "db_pool_connections_collected_total",
            json: "connections_collected",
        }

        /// Statements that failed, as the client saw.
        query_errors {
            wire: "query_errors",
            metric: "db_query_errors_total",
            json: "query_errors",
        }

        /// Checkouts that ran one statement for each row of another.
        n_plus_one {
            wire: "n_plus_one",
            metric: "db_n_plus_one_checkouts_total",
            json: "n_plus_one_checkouts",
        }

        /// SELECTs without LIMIT that returned 1,000 rows or more.
        unpaginated {
            wire: "unpaginated",
            metric: "db_unpaginated_queries_total",
            json: "unpaginated_queries",
        }
    }
}

cumulative! {
    /// The histograms of a pool since it began.
    #[derive()]
    pub struct Timings of Histogram {
        /// Getting a connection, its wait included.
        acquire {
            wire: "acquire",
            metric: "db_pool_acquire_duration_seconds",
            json: "acquire",
            bounds: ACQUIRE_BOUNDS,
        }

        /// From getting a connection to returning it.
        hold {
            wire: "hold",
            metric: "db_pool_hold_duration_seconds",
            json: "hold",
            bounds: HOLD_BOUNDS,
        }

        /// Statements as the client measured them, exactly.
        query {
            wire: "query",
            metric: "db_query_duration_seconds",
            json: "query",
            bounds: BOUNDS,
        }

        /// COMMITs as the client measured them, exactly.
        commit {
            wire: "commit",
            metric: "db_commit_duration_seconds",
            json: "commit",
            bounds: BOUNDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_is_used_twice() {
        let gauges = Figures::ROWS.iter().map(|row| (row.wire, row.metric, row.json));
        let totals =
            Totals::ROWS.iter().map(|row| (Some(row.wire), Some(row.metric), Some(row.json)));
        let timings =
            Timings::ROWS.iter().map(|row| (Some(row.wire), Some(row.metric), Some(row.json)));
        let rows: Vec<_> = gauges.chain(totals).chain(timings).collect();
        let unique = |keys: Vec<Option<&'static str>>| {
            let keys: Vec<_> = keys.into_iter().flatten().collect();
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "{keys:?}");
        };
        unique(rows.iter().map(|row| row.0).collect());
        unique(rows.iter().map(|row| row.1).collect());
        unique(rows.iter().map(|row| row.2).collect());
    }

    #[test]
    fn the_help_of_a_metric_is_its_doc_comment() {
        assert_eq!(Figures::ROWS[0].help, "Connections the pool keeps, over all workers.");
        let opened = Totals::ROWS.iter().find(|row| row.wire == "opened").unwrap();
        assert_eq!(opened.help, "Connections opened.");
    }
}
