//! How long things took lately.

use serde::Serialize;

use crate::latency::{Estimate, Histogram};
use crate::reading::Timings;
use crate::snapshot::DatabaseState;

/// What was timed lately.
#[derive(Debug, Default, Serialize)]
pub(in crate::http) struct Latency {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) acquire: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) hold: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) query: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) commit: Option<Quantiles>,
}

impl Latency {
    pub(super) fn of(timings: &Timings) -> Self {
        let quantiles = |histogram: &Option<Histogram>| histogram.as_ref().and_then(Quantiles::of);
        Self {
            acquire: quantiles(&timings.acquire),
            hold: quantiles(&timings.hold),
            query: quantiles(&timings.query),
            commit: quantiles(&timings.commit),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, quantiles)| quantiles.is_none())
    }

    /// Each kind of timing by its name.
    pub(in crate::http) fn named(&self) -> [(&'static str, Option<&Quantiles>); 4] {
        [
            ("acquire", self.acquire.as_ref()),
            ("hold", self.hold.as_ref()),
            ("query", self.query.as_ref()),
            ("commit", self.commit.as_ref()),
        ]
    }
}

/// Quantiles of a histogram, interpolated within its buckets.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Quantiles {
    pub(in crate::http) count: u64,
    pub(in crate::http) p50_seconds: f64,
    pub(in crate::http) p95_seconds: f64,
    pub(in crate::http) p99_seconds: f64,
}

impl Quantiles {
    fn of(histogram: &Histogram) -> Option<Self> {
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

/// How long one database's statements took in the last five minutes, by the server's log.
#[derive(Debug, Serialize)]
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
    pub(super) fn of(databases: &'a [DatabaseState]) -> Vec<Self> {
        let each = databases.iter().flat_map(|server| {
            server.logged.iter().filter_map(|times| {
                Some(Self {
                    server: &server.name,
                    datname: &times.database,
                    counted_from_seconds: times.counted_from,
                    quantiles: Quantiles::of(&times.recent)?,
                })
            })
        });
        each.collect()
    }
}

/// How long one database's statements took in the last five minutes, as estimated from what the
/// server keeps of them: those that failed are not in it.
#[derive(Debug, Serialize)]
pub(in crate::http) struct EstimatedLatency<'a> {
    server: &'a str,
    datname: &'a str,
    #[serde(flatten)]
    quantiles: Quantiles,
}

impl<'a> EstimatedLatency<'a> {
    pub(super) fn of(databases: &'a [DatabaseState]) -> Vec<Self> {
        let each = databases.iter().flat_map(|server| {
            server.statements.iter().filter_map(|times| {
                let quantiles = Quantiles::estimated(&times.recent)?;
                Some(Self { server: &server.name, datname: &times.database, quantiles })
            })
        });
        each.collect()
    }
}
