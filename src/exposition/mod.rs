//! A snapshot in the Prometheus text format, version 0.0.4.
//!
//! Families are encoded once, when they were read, and put together into [`Chunk`]s; a scrape only
//! sends these. A chunk that a snapshot shares with the one before is not encoded again.

mod gzip;
pub mod itself;
pub mod pools;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use hyper::body::Bytes;
use prometheus::TextEncoder;

use crate::metric::{Family, Kind};
use gzip::Deflated;

/// The content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families of one reading as text: a fifth of what they take as samples and labels.
#[derive(Debug, Default)]
pub struct Encoded {
    families: Vec<Lines>,
    dropped: usize,
}

/// One family as text.
#[derive(Debug)]
struct Lines {
    name: String,
    /// `# HELP` and `# TYPE`.
    head: String,
    samples: String,
    series: usize,
    /// What the line that ends a sample begins with: a histogram has many lines, and is one.
    end: String,
}

impl Encoded {
    /// Encodes families, of which those with one name are joined and repeated series left out.
    pub fn of(families: impl IntoIterator<Item = Family>) -> Self {
        let mut joined: Vec<Family> = Vec::new();
        for family in families.into_iter().filter(|family| !family.is_empty()) {
            match joined.iter_mut().find(|known| known.name() == family.name()) {
                Some(known) => known.extend(family),
                None => joined.push(family),
            }
        }
        let dropped = joined.iter_mut().map(Family::drop_repeated).sum();
        Self { families: joined.iter().map(Lines::of).collect(), dropped }
    }
}

impl Lines {
    fn of(family: &Family) -> Self {
        let text = TextEncoder
            .encode_to_string(std::slice::from_ref(family.proto()))
            .expect("a family with samples can be written to memory");
        let head = text.split_inclusive('\n').take_while(|line| line.starts_with('#'));
        let (head, samples) = text.split_at(head.map(str::len).sum());
        Self {
            name: family.name().to_owned(),
            head: head.to_owned(),
            samples: samples.to_owned(),
            series: family.len(),
            end: match family.kind() {
                Kind::Histogram => format!("{}_count", family.name()),
                _ => family.name().to_owned(),
            },
        }
    }
}

/// Some whole families, encoded.
#[derive(Debug)]
pub struct Chunk {
    /// Absent once packed.
    text: Option<Bytes>,
    length: usize,
    deflated: OnceLock<Deflated>,
    series: usize,
    dropped: usize,
}

impl Chunk {
    /// Encodes families, of which those with one name are joined and repeated series left out.
    pub fn encode<'a>(families: impl IntoIterator<Item = &'a Family>) -> Self {
        Self::join(&[&Encoded::of(families.into_iter().cloned())])
    }

    /// Puts what was encoded together: a family that several have under one head, and a series
    /// that several have once.
    pub fn join(parts: &[&Encoded]) -> Self {
        let mut places = HashMap::new();
        let mut families: Vec<Vec<&Lines>> = Vec::new();
        for lines in parts.iter().flat_map(|part| &part.families) {
            let place = *places.entry(lines.name.as_str()).or_insert(families.len());
            if place == families.len() {
                families.push(Vec::new());
            }
            families[place].push(lines);
        }
        let all = || families.iter().flatten();
        let length: usize = all().map(|lines| lines.head.len() + lines.samples.len()).sum();
        let mut text = String::with_capacity(length);
        let repeated: usize = families.iter().map(|family| write(family, &mut text)).sum();
        text.shrink_to_fit();
        Self {
            length: text.len(),
            text: Some(text.into()),
            deflated: OnceLock::new(),
            series: all().map(|lines| lines.series).sum::<usize>() - repeated,
            dropped: parts.iter().map(|part| part.dropped).sum::<usize>() + repeated,
        }
    }

    /// The same, compressed now rather than when it is asked for, and kept only so: for what
    /// outlasts many a scrape. It is a seventh as large.
    pub fn packed(mut self) -> Self {
        self.deflated();
        self.text = None;
        self
    }

    /// The families as text.
    pub fn text(&self) -> Bytes {
        self.text.clone().unwrap_or_else(|| self.deflated().text(self.length))
    }

    /// The text of several chunks as one gzip member, in parts to be sent one after another.
    /// Prometheus would read a member for each chunk as well; browsers, curl and wget would show
    /// the first.
    pub fn gzip<'a>(chunks: impl IntoIterator<Item = &'a Self>) -> Vec<Bytes> {
        gzip::member(chunks.into_iter().map(Self::deflated))
    }

    fn deflated(&self) -> &Deflated {
        self.deflated.get_or_init(|| Deflated::new(self.text.as_deref().unwrap_or_default()))
    }

    /// The length of the text in bytes.
    pub fn text_length(&self) -> usize {
        self.length
    }

    /// How many samples it holds, a histogram counted as one.
    pub fn series(&self) -> usize {
        self.series
    }

    /// How many repeated series were left out.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

/// Writes one family that has come in parts, and says how many of its samples were repeated.
fn write(family: &[&Lines], text: &mut String) -> usize {
    text.push_str(&family[0].head);
    if let [only] = family {
        text.push_str(&only.samples);
        return 0;
    }
    let mut seen = HashSet::new();
    let lines = family.iter().flat_map(|lines| lines.samples.split_inclusive('\n'));
    let (kept, repeated): (Vec<_>, Vec<_>) = lines.partition(|line| seen.insert(series_of(line)));
    text.extend(kept);
    repeated.iter().filter(|line| line.starts_with(&family[0].end)).count()
}

/// The name and labels of a sample's line: all before its value.
fn series_of(line: &str) -> &str {
    line.rsplit_once(' ').map_or(line, |(series, _)| series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{BOUNDS, Histogram};

    fn family(value: f64) -> Family {
        let mut family = Family::gauge("db_pool_size", "Connections a pool keeps.");
        family.sample(&[("pool", "a \"quoted\"\nname\\")], value);
        family
    }

    #[test]
    fn a_label_is_escaped() {
        let chunk = Chunk::encode([&family(5.0)]);
        let text = chunk.text();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains(r#"db_pool_size{pool="a \"quoted\"\nname\\"} 5"#), "{text}");
    }

    #[test]
    fn families_of_one_name_share_one_header() {
        let mut other = family(1.0);
        other.label_all("server", "b");
        let chunk = Chunk::encode([&family(5.0), &other]);
        let text = chunk.text();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.matches("# TYPE").count(), 1);
        assert_eq!(chunk.series(), 2);
    }

    #[test]
    fn a_series_of_two_readings_is_shown_once() {
        let (first, mut second) = (family(5.0), family(6.0));
        second.sample(&[("pool", "other")], 7.0);
        let chunk = Chunk::join(&[&Encoded::of([first]), &Encoded::of([second])]);
        let text = chunk.text();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.matches("# TYPE").count(), 1, "{text}");
        assert!(text.contains("} 5\n") && !text.contains("} 6\n"), "{text}");
        assert!(text.ends_with("db_pool_size{pool=\"other\"} 7\n"), "{text}");
        assert_eq!((chunk.series(), chunk.dropped()), (2, 1));
    }

    #[test]
    fn a_histogram_of_two_readings_is_one_sample() {
        let mut family = Family::histogram("db_query_duration_seconds", "Time of queries.");
        family.durations(&[("pool", "web")], &Histogram::new(BOUNDS));
        let encoded = Encoded::of([family]);
        let chunk = Chunk::join(&[&encoded, &encoded]);
        assert_eq!((chunk.series(), chunk.dropped()), (1, 1));
        assert_eq!(chunk.text(), Chunk::join(&[&encoded]).text());
    }

    #[test]
    fn a_packed_chunk_reads_as_before() {
        let plain = Chunk::encode([&family(5.0)]);
        let packed = Chunk::encode([&family(5.0)]).packed();
        assert_eq!(packed.text(), plain.text());
        assert_eq!(Chunk::gzip([&packed]), Chunk::gzip([&plain]));
        assert_eq!(packed.text_length(), plain.text().len());
    }
}
