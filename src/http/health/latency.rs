//! Recent latencies.

use serde::{Serialize, Serializer};

use crate::latency::{BOUNDS, Estimate, Histogram};
use crate::reading::{Cumulative, StatementTimes, Timings};
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Thresholds};

/// The quantiles of each kind of timing, under its key in the table.
#[derive(Debug, Default)]
pub(in crate::http) struct Latency(Vec<(&'static str, Quantiles)>);

impl From<&Timings> for Latency {
    fn from(timings: &Timings) -> Self {
        let timed = Timings::ROWS.iter().filter_map(|row| {
            let histogram = (row.get)(timings).as_ref()?;
            Some((row.json, Quantiles::from_histogram(histogram)?))
        });
        Self(timed.collect())
    }
}

impl Latency {
    pub(in crate::http) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind of timing by its name.
    pub(in crate::http) fn named(&self) -> &[(&'static str, Quantiles)] {
        &self.0
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, quantiles)| (name, quantiles)))
    }
}

/// Quantiles of a histogram, interpolated within its buckets.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Quantiles {
    pub(in crate::http) count: u64,
    pub(in crate::http) p50_seconds: f64,
    pub(in crate::http) p95_seconds: f64,
    pub(in crate::http) p99_seconds: f64,
}

impl Quantiles {
    fn from_histogram(histogram: &Histogram) -> Option<Self> {
        Self::from(histogram.count(), |q| histogram.quantile(q))
    }

    fn estimated(estimate: &Estimate) -> Option<Self> {
        Self::from(estimate.calls(), |q| estimate.quantile(q))
    }

    fn from(count: u64, quantile: impl Fn(f64) -> Option<f64>) -> Option<Self> {
        let quantile = |q| quantile(q).map(|value| super::rounded(value, 1e6));
        Some(Self {
            count,
            p50_seconds: quantile(0.5)?,
            p95_seconds: quantile(0.95)?,
            p99_seconds: quantile(0.99)?,
        })
    }
}

/// The latency of one database's statements in the last five minutes, by the server's log.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct LoggedLatency<'a> {
    server: &'a str,
    /// Absent when the log does not say.
    #[serde(skip_serializing_if = "str::is_empty")]
    datname: &'a str,
    /// Statements that took less are not in the log, so the quantiles are of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_from_seconds: Option<f64>,
    #[serde(flatten)]
    quantiles: Quantiles,
}

impl<'a> LoggedLatency<'a> {
    pub(super) fn all(databases: &'a [DatabaseState]) -> Vec<Self> {
        let each = databases.iter().flat_map(|server| {
            server.logged.iter().filter_map(|times| {
                Some(Self {
                    server: &server.name,
                    datname: &times.database,
                    counted_from_seconds: times.counted_from,
                    quantiles: Quantiles::from_histogram(&times.recent)?,
                })
            })
        });
        each.collect()
    }
}

/// The latency of one database's statements in the last five minutes, as estimated from what the
/// server keeps of them: those that failed are not in it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct EstimatedLatency<'a> {
    server: &'a str,
    datname: &'a str,
    #[serde(flatten)]
    quantiles: Quantiles,
    share_above: Vec<ShareAbove>,
}

impl<'a> EstimatedLatency<'a> {
    pub(super) fn all(snapshot: &'a Snapshot) -> Vec<Self> {
        let thresholds = &snapshot.thresholds;
        let of_server = |server: &'a DatabaseState| {
            server.statements.iter().filter_map(|times| {
                Some(Self {
                    server: &server.name,
                    datname: &times.database,
                    quantiles: Quantiles::estimated(&times.recent)?,
                    share_above: ShareAbove::new(times, thresholds),
                })
            })
        };
        snapshot.databases.iter().flat_map(of_server).collect()
    }
}

/// The share of statements (0 to 1) that took longer than a threshold: the least and the greatest
/// that the server's figures allow, and the estimate where there is one for the threshold. Where the
/// server's log has all that took longer, the bounds are by it, and nearly the same.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShareAbove {
    threshold_seconds: f64,
    lower: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<f64>,
    upper: f64,
}

impl ShareAbove {
    /// One for each of the thresholds that latencies are judged by.
    fn new(times: &StatementTimes, thresholds: &Thresholds) -> Vec<Self> {
        let Thresholds { query_target, scale_at, slow_query, .. } = thresholds;
        let each = [query_target, scale_at, slow_query].into_iter().filter_map(|threshold| {
            let seconds = threshold.as_secs_f64();
            let (lower, upper) = times.share_bounds(seconds)?;
            let share = times.recent.share_above(seconds).filter(|_| BOUNDS.contains(&seconds));
            let rounded = |share| super::rounded(share, 1e6);
            Some(Self {
                threshold_seconds: seconds,
                lower: rounded(lower),
                estimate: share.map(|share| rounded(share.clamp(lower, upper))),
                upper: rounded(upper),
            })
        });
        each.collect()
    }
}

/// The schema of what the table of timings has keys for.
#[cfg(test)]
impl schemars::JsonSchema for Latency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Latency".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut properties = serde_json::Map::new();
        for row in Timings::ROWS {
            let quantiles = generator.subschema_for::<Quantiles>();
            properties.insert(row.json.to_owned(), quantiles.to_value());
        }
        schemars::json_schema!({
            "type": "object",
            "properties": serde_json::Value::Object(properties),
        })
    }
}
