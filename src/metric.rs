//! Building one metric family: a name, its help, and a sample for each set of labels.

use prometheus::proto;

use crate::latency::Histogram;

/// The kind of figure that a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May go up and down.
    Gauge,
    /// Only ever grows, until its source begins again.
    Counter,
    /// Counts of durations by bucket.
    Histogram,
}

/// One metric family: the samples that the exposition shows under one `# TYPE` line.
#[derive(Clone, Debug, PartialEq)]
pub struct Family(proto::MetricFamily);

impl Family {
    /// An empty family; a family without samples is not shown.
    pub fn new(kind: Kind, name: impl Into<String>, help: impl Into<String>) -> Self {
        let mut family = proto::MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(match kind {
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        Self(family)
    }

    /// An empty family of gauges.
    pub fn gauge(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Kind::Gauge, name, help)
    }

    /// An empty family of counters.
    pub fn counter(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Kind::Counter, name, help)
    }

    /// An empty family of histograms.
    pub fn histogram(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Kind::Histogram, name, help)
    }

    /// Adds a sample, unless the value was not seen: absent is absent, never 0.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Option<f64>>) -> &mut Self {
        if let Some(value) = value.into() {
            let mut metric = metric(labels);
            if self.kind() == Kind::Counter {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            self.0.mut_metric().push(metric);
        }
        self
    }

    /// Adds a histogram.
    pub fn durations(&mut self, labels: &[(&str, &str)], histogram: &Histogram) -> &mut Self {
        let mut metric = metric(labels);
        metric.set_histogram(histogram_proto(histogram));
        self.0.mut_metric().push(metric);
        self
    }

    /// The family's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The family's help.
    pub fn help(&self) -> &str {
        self.0.help()
    }

    /// The family's kind.
    pub fn kind(&self) -> Kind {
        match self.0.get_field_type() {
            proto::MetricType::COUNTER => Kind::Counter,
            proto::MetricType::HISTOGRAM => Kind::Histogram,
            _ => Kind::Gauge,
        }
    }

    /// The number of samples it holds.
    pub fn len(&self) -> usize {
        self.0.get_metric().len()
    }

    /// The sum of all its gauges or counters; `None` when it holds no sample.
    pub fn total(&self) -> Option<f64> {
        let samples = self.0.get_metric().iter();
        let value = |metric: &proto::Metric| match self.kind() {
            Kind::Counter => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        samples.map(value).reduce(|sum, value| sum + value)
    }

    /// Returns true if it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a label with one value on every sample.
    pub fn label_all(&mut self, name: &str, value: &str) {
        for metric in self.0.mut_metric() {
            let mut labels = metric.get_label().to_vec();
            labels.push(label(name, value));
            metric.set_label(labels);
        }
    }

    /// Adds the samples of another family of the same name.
    pub fn extend(&mut self, mut other: Self) {
        self.0.mut_metric().append(other.0.mut_metric());
    }

    /// Leaves out samples whose labels repeat an earlier one's, and says how many: a repeated
    /// series would make Prometheus refuse the whole scrape.
    pub fn drop_repeated(&mut self) -> usize {
        let before = self.len();
        let mut seen = std::collections::HashSet::with_capacity(before);
        let kept: Vec<_> = std::mem::take(self.0.mut_metric())
            .into_iter()
            .filter(|metric| seen.insert(signature(metric)))
            .collect();
        let dropped = before - kept.len();
        self.0.set_metric(kept);
        dropped
    }

    pub(crate) fn proto(&self) -> &proto::MetricFamily {
        &self.0
    }
}

fn signature(metric: &proto::Metric) -> String {
    let mut pairs: Vec<_> = metric.get_label().iter().map(|l| (l.name(), l.value())).collect();
    pairs.sort_unstable();
    pairs.iter().fold(String::new(), |mut all, (name, value)| {
        all.push_str(name);
        all.push('\0');
        all.push_str(value);
        all.push('\0');
        all
    })
}

fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(shortened(value));
    pair
}

/// The longest label value shown, in characters.
pub const LABEL_LIMIT: usize = 200;

/// A label's value within its limit, control characters made visible as `?`.
fn shortened(value: &str) -> String {
    value
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '?' } else { c })
        .take(LABEL_LIMIT)
        .collect()
}

fn metric(labels: &[(&str, &str)]) -> proto::Metric {
    let mut metric = proto::Metric::default();
    metric.set_label(labels.iter().map(|(name, value)| label(name, value)).collect());
    metric
}

fn histogram_proto(histogram: &Histogram) -> proto::Histogram {
    // As much as a client says may be more than there can be.
    let mut cumulative = 0_u64;
    let buckets = histogram
        .bounds()
        .iter()
        .zip(histogram.counts())
        .map(|(bound, count)| {
            cumulative = cumulative.saturating_add(*count);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        })
        .collect();
    let mut shown = proto::Histogram::default();
    shown.set_bucket(buckets);
    shown.set_sample_count(histogram.count());
    shown.set_sample_sum(histogram.sum());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::BOUNDS;

    #[test]
    fn an_absent_value_has_no_sample() {
        let mut family = Family::gauge("a", "A.");
        family.sample(&[], None).sample(&[("x", "1")], 2.0);
        assert_eq!(family.len(), 1);
    }

    #[test]
    fn a_repeated_series_is_dropped_whatever_the_order_of_its_labels() {
        let mut family = Family::gauge("a", "A.");
        family.sample(&[("x", "1"), ("y", "2")], 1.0).sample(&[("y", "2"), ("x", "1")], 2.0);
        assert_eq!(family.drop_repeated(), 1);
        assert_eq!(family.len(), 1);
    }

    #[test]
    fn buckets_never_fall_however_much_was_counted() {
        let mut counts = vec![0; BOUNDS.len() + 1];
        (counts[0], counts[3], counts[4]) = (5, u64::MAX, 7);
        let most = Histogram::from_counts(BOUNDS, counts, 1.0).unwrap();
        let mut family = Family::histogram("a", "A.");
        family.durations(&[], &most);
        let shown = family.proto().get_metric()[0].get_histogram();
        let buckets: Vec<u64> =
            shown.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert!(buckets.is_sorted(), "{buckets:?}");
        assert_eq!((buckets[0], shown.get_sample_count()), (5, u64::MAX));
    }

    #[test]
    fn a_long_label_is_cut() {
        assert_eq!(shortened(&"é".repeat(1000)).chars().count(), LABEL_LIMIT);
    }
}
