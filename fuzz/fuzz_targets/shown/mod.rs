//! What Prometheus would see of some families, and what must hold of it.

use std::collections::BTreeMap;

use poolwatch::exposition::Chunk;
use poolwatch::metric::{Family, Kind};

/// Each line of the counters and histograms with its figure; every figure is one, and none of a
/// counter is below 0.
pub fn counted(families: &[Family]) -> BTreeMap<String, f64> {
    let text = Chunk::encode(families).plain();
    let text = std::str::from_utf8(&text).expect("what is shown is text");
    let grows = |name: &str| {
        let family = families.iter().filter(|family| name.starts_with(family.name()));
        family.max_by_key(|family| family.name().len()).is_some_and(|f| f.kind() != Kind::Gauge)
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for (series, figure) in lines.map(|line| line.rsplit_once(' ').expect("a sample has a figure"))
    {
        let figure: f64 = figure.parse().expect("a figure is a number");
        assert!(figure.is_finite() && figure >= 0.0, "{series} {figure}");
        if grows(series.split('{').next().unwrap_or(series)) {
            assert_eq!(all.insert(series.to_owned(), figure), None, "{series} is there twice");
        }
    }
    all
}

/// No figure fell, and none is gone.
pub fn only_grew(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) {
    for (series, figure) in before {
        assert!(now.get(series).is_some_and(|now| now >= figure), "{series} was {figure}");
    }
}
