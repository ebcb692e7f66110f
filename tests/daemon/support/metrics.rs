//! A page of metrics, taken apart.

use std::collections::BTreeMap;

/// A page of metrics, taken apart.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) text: String,
    pub(crate) series: Vec<Series>,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Metrics {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| Series::parse(line).unwrap_or_else(|| panic!("{line}")));
        Self { text: text.to_owned(), series: series.collect() }
    }

    /// The kind of every family.
    pub(crate) fn kinds(&self) -> BTreeMap<&str, &str> {
        let comments = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        comments.filter_map(|comment| comment.split_once(' ')).collect()
    }

    pub(crate) fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Series> {
        let has = |series: &&Series| {
            labels
                .iter()
                .all(|(label, value)| series.labels.get(*label).is_some_and(|v| v == value))
        };
        self.series.iter().filter(move |series| series.name == name).filter(has)
    }

    /// The value of the one series with these labels, and perhaps others.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let value = found.next()?.value;
        assert!(found.next().is_none(), "several series {name} have {labels:?}");
        Some(value)
    }
}

impl Series {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let Some((name, rest)) = series.split_once('{') else {
            return Some(Self { name: series.to_owned(), labels: BTreeMap::new(), value });
        };
        let labels = parse_labels(rest.strip_suffix('}')?)?;
        Some(Self { name: name.to_owned(), labels, value })
    }
}

fn parse_labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while let Some((label, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next().map(|c| if c == 'n' { '\n' } else { c })?),
                character => value.push(character),
            }
        }
        labels.insert(label.to_owned(), value);
        rest = characters.as_str().trim_start_matches(',');
    }
    rest.is_empty().then_some(labels)
}

#[test]
fn a_page_of_metrics_is_taken_apart() {
    let text = "# HELP a b\na 1\nb{pool=\"x, \\\"y\\\"\\n\",le=\"+Inf\"} 2.5\nc{} NaN\n";
    let metrics = Metrics::parse(text);
    assert_eq!(metrics.value("a", &[]), Some(1.0));
    assert_eq!(metrics.value("b", &[("pool", "x, \"y\"\n"), ("le", "+Inf")]), Some(2.5));
    assert!(metrics.value("c", &[]).is_some_and(f64::is_nan));
    assert_eq!(metrics.value("b", &[("pool", "z")]), None);
}
