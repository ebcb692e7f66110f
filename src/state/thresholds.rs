//! The thresholds, and the status that follows from them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Status;

/// The thresholds by which everything is judged.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Utilization (0 to 1) from which a pool is at warning.
    pub warning: f64,
    /// Utilization (0 to 1) above which a pool is critical.
    pub critical: f64,
    /// The latency most queries should stay under.
    #[serde(with = "humantime_serde")]
    pub query_target: Duration,
    /// The latency from which it is time to scale.
    #[serde(with = "humantime_serde")]
    pub scale_at: Duration,
    /// A query longer than this is slow.
    #[serde(with = "humantime_serde")]
    pub slow_query: Duration,
    /// A connection held longer than this is likely leaked.
    #[serde(with = "humantime_serde")]
    pub held_too_long: Duration,
    /// The time after which the proxy before the application gives up a request, where there is one.
    /// No time at all is none.
    #[serde(with = "humantime_serde")]
    pub proxy_timeout: Option<Duration>,
    /// Those of single pools, such as one of batch jobs, by their names.
    pub pools: BTreeMap<String, PoolThresholds>,
}

/// The thresholds of one pool that differ from those of the others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolThresholds {
    /// Utilization (0 to 1) from which it is at warning.
    pub warning: Option<f64>,
    /// Utilization (0 to 1) above which it is critical.
    pub critical: Option<f64>,
    /// A query longer than this is slow.
    #[serde(with = "humantime_serde")]
    pub slow_query: Option<Duration>,
    /// A connection held longer than this is likely leaked.
    #[serde(with = "humantime_serde")]
    pub held_too_long: Option<Duration>,
    /// The time after which the proxy before its application gives up a request. No time at all is
    /// no proxy.
    #[serde(with = "humantime_serde")]
    pub proxy_timeout: Option<Duration>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            warning: 0.75,
            critical: 0.90,
            query_target: Duration::from_millis(100),
            scale_at: Duration::from_millis(200),
            slow_query: Duration::from_secs(1),
            held_too_long: Duration::from_secs(60),
            proxy_timeout: None,
            pools: BTreeMap::new(),
        }
    }
}

impl Thresholds {
    /// The thresholds of one pool.
    pub fn of_pool(&self, pool: &str) -> Self {
        let own = self.pools.get(pool).cloned().unwrap_or_default();
        let proxy_timeout = own.proxy_timeout.or(self.proxy_timeout);
        Self {
            warning: own.warning.unwrap_or(self.warning),
            critical: own.critical.unwrap_or(self.critical),
            slow_query: own.slow_query.unwrap_or(self.slow_query),
            held_too_long: own.held_too_long.unwrap_or(self.held_too_long),
            proxy_timeout: proxy_timeout.filter(|limit| !limit.is_zero()),
            query_target: self.query_target,
            scale_at: self.scale_at,
            pools: BTreeMap::new(),
        }
    }

    /// Healthy below warning, warning up to and with critical, critical above.
    pub fn status(&self, utilization: f64) -> Status {
        if utilization > self.critical {
            Status::Critical
        } else if utilization >= self.warning {
            Status::Warning
        } else {
            Status::Healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_its_own_thresholds_and_the_others_of_all() {
        let text = "{pools: {batch: {held_too_long: 8h, critical: 1.0}}}";
        let thresholds: Thresholds = yaml_serde::from_str(text).unwrap();
        let batch = thresholds.of_pool("batch");
        assert_eq!((batch.held_too_long, batch.critical), (Duration::from_hours(8), 1.0));
        assert_eq!((batch.warning, thresholds.of_pool("web").critical), (0.75, 0.9));
    }

    #[test]
    fn a_proxy_timeout_of_no_time_is_no_proxy() {
        let text = "{proxy_timeout: 60s, pools: {celery: {proxy_timeout: 0s}}}";
        let thresholds: Thresholds = yaml_serde::from_str(text).unwrap();
        assert_eq!(thresholds.of_pool("celery").proxy_timeout, None);
        assert_eq!(thresholds.of_pool("web").proxy_timeout, Some(Duration::from_mins(1)));
    }

    use crate::state::Status::{Critical, Healthy, Warning};

    #[test]
    fn the_edges_belong_to_warning() {
        let thresholds = Thresholds::default();
        let judged = [0.0, 0.7499, 0.75, 0.9, 0.9001, 1.0].map(|u| thresholds.status(u));
        assert_eq!(judged, [Healthy, Healthy, Warning, Warning, Critical, Critical]);
    }
}
