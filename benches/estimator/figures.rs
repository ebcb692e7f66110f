//! What was true, what was estimated, and how far they are apart.

use poolwatch::latency::Estimate;

use crate::record::Record;

const BOUNDS: [f64; 3] = [0.1, 0.2, 1.0];
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// Errors of the estimate: of shares in percentage points, of quantiles in per cent.
pub(crate) struct Figures {
    pub(crate) shares: [f64; 3],
    pub(crate) quantiles: [f64; 3],
    /// Of the calls, in per cent.
    calls: f64,
    /// The least and the greatest share above each threshold, in per cent.
    bounds: [(f64, f64); 3],
}

impl Figures {
    /// Judges what would have been estimated with so many seconds between two looks.
    pub(crate) fn of(record: &Record, interval: usize) -> Self {
        let estimate = estimate(record, interval);
        let truth = &record.durations;
        let share =
            |bound| 100.0 * (estimate.share_above(bound).unwrap_or(0.0) - above(truth, bound));
        let quantile = |q| {
            let known = quantile(truth, q);
            100.0 * (estimate.quantile(q).unwrap_or(0.0) / known - 1.0)
        };
        Self {
            shares: BOUNDS.map(share),
            quantiles: QUANTILES.map(quantile),
            calls: 100.0 * (estimate.calls() as f64 / truth.len() as f64 - 1.0),
            bounds: BOUNDS.map(|bound| {
                let (least, most) = estimate.share_bounds(bound).unwrap_or((0.0, 1.0));
                (100.0 * least, 100.0 * most)
            }),
        }
    }

    /// The bounds beside the truth, and whether it lies between them.
    pub(crate) fn bounds_row(&self, record: &Record) -> String {
        // A share of the log's calls, which may be some more than the server counted.
        let slack = 100.0 / record.durations.len() as f64 + self.calls.abs();
        let cells = self.beside_truth(record, slack).map(|(least, truth, most, is_between)| {
            let note = if is_between { "" } else { " NOT BETWEEN" };
            format!("{least:.2} ≤ {truth:.2} ≤ {most:.2}{note}")
        });
        format!("| {} | {} |", record.name, cells.collect::<Vec<_>>().join(" | "))
    }

    /// Returns true when the true share above each threshold lies between its bounds, where the
    /// server counted every call.
    pub(crate) fn contain_truth(&self, record: &Record) -> bool {
        self.beside_truth(record, 1e-9).all(|(.., is_between)| is_between)
    }

    /// Returns true when the estimated share above each threshold lies between its bounds.
    pub(crate) fn contain_estimate(&self, record: &Record) -> bool {
        self.beside_truth(record, 0.0).zip(self.shares).all(|((least, truth, most, _), apart)| {
            (least - 1e-6..=most + 1e-6).contains(&(truth + apart))
        })
    }

    /// The least, the true and the greatest share, and whether the true one lies between.
    fn beside_truth<'a>(
        &self,
        record: &'a Record,
        slack: f64,
    ) -> impl Iterator<Item = (f64, f64, f64, bool)> + use<'a> {
        BOUNDS.into_iter().zip(self.bounds).map(move |(bound, (least, most))| {
            let truth = 100.0 * above(&record.durations, bound);
            (least, truth, most, (least - slack..=most + slack).contains(&truth))
        })
    }

    pub(crate) fn row(&self, record: &Record) -> String {
        let truth = &record.durations;
        let shares = BOUNDS.iter().zip(self.shares);
        let shares = shares
            .map(|(bound, apart)| format!("{:.2} % {apart:+.2}", 100.0 * above(truth, *bound)));
        let quantiles = QUANTILES
            .iter()
            .zip(self.quantiles)
            .map(|(q, apart)| format!("{:.1} ms {apart:+.0} %", 1000.0 * quantile(truth, *q)));
        let cells: Vec<_> = shares.chain(quantiles).collect();
        let (name, calls) = (&record.name, truth.len());
        format!("| {name} | {calls} {:+.1} % | {} |", self.calls, cells.join(" | "))
    }
}

pub(crate) fn header() -> String {
    "| workload | calls | above 100 ms | above 200 ms | above 1 s | p50 | p95 | p99 |\n\
     | --- | --- | --- | --- | --- | --- | --- | --- |"
        .to_owned()
}

fn estimate(record: &Record, interval: usize) -> Estimate {
    let mut estimate = Estimate::default();
    let last = record.looks.len() - 1;
    let chosen = (0..=last).filter(|at| at % interval == 0 || *at == last);
    let chosen: Vec<_> = chosen.map(|at| &record.looks[at]).collect();
    for pair in chosen.windows(2) {
        for (key, moments) in pair[1] {
            estimate.add(&moments.since(pair[0].get(key)));
        }
    }
    estimate
}

fn above(sorted: &[f64], bound: f64) -> f64 {
    let below = sorted.partition_point(|seconds| *seconds <= bound);
    1.0 - below as f64 / sorted.len() as f64
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * sorted.len() as f64;
    let at = (1..sorted.len()).find(|at| *at as f64 > rank).unwrap_or(sorted.len());
    sorted[at - 1]
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}
