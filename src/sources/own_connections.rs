//! poolwatch's own connections: how many it has to each server, and what they do. They are no pool of
//! an application's, so that nobody judges them as one.

use crate::metric::Family;
use crate::reading::Reading;
use poolwatch_client::SharedPool;

/// The connections of this process, by the server's name.
#[derive(Debug)]
pub struct OwnConnections {
    pools: Vec<(String, SharedPool)>,
}

impl OwnConnections {
    /// Shows these.
    pub fn new(pools: Vec<(String, SharedPool)>) -> Self {
        Self { pools }
    }

    /// Their figures now.
    pub fn read(&mut self) -> Reading {
        let [mut connections, mut waiting, mut opened] = families();
        for (server, pool) in &self.pools {
            let pool = pool.reading();
            let figures = pool.figures;
            for (state, count) in
                [("checked_in", figures.checked_in), ("checked_out", figures.checked_out)]
            {
                let labels = [("server", server.as_str()), ("state", state)];
                connections.sample(&labels, count.map(|count| count as f64));
            }
            let labels = [("server", server.as_str())];
            waiting.sample(&labels, figures.pending.map(|count| count as f64));
            opened.sample(&labels, pool.totals.opened.map(|count| count as f64));
        }
        Reading { families: vec![connections, waiting, opened], ..Reading::default() }
    }
}

/// Every family there is, without a sample.
pub fn families() -> [Family; 3] {
    [
        Family::gauge(
            "poolwatch_connections",
            "poolwatch's own connections to each server: checked_out by a reading, or checked_in.",
        ),
        Family::gauge(
            "poolwatch_connections_waiting",
            "Readings that wait for one of poolwatch's own connections: slow ones go one at a time.",
        ),
        Family::counter(
            "poolwatch_connections_opened_total",
            "Connections that poolwatch has opened to each server.",
        ),
    ]
}
