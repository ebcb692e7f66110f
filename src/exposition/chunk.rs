//! Whole families, encoded and put together, as a scrape sends them.

use std::collections::HashMap;
use std::sync::OnceLock;

use hyper::body::Bytes;

use super::format::{EncodedFamily, Format};
use super::gzip::{self, Deflated};
use super::text;
use crate::metric::Family;

/// The format of every chunk.
const FORMAT: Format = text::FORMAT;

/// The families of one reading, encoded: a fifth of their size as samples and labels.
#[derive(Debug)]
pub struct Encoded {
    families: Vec<EncodedFamily>,
    dropped: usize,
}

impl Encoded {
    /// Encodes families. Those of one name are joined, and repeated series dropped.
    pub fn new(families: impl IntoIterator<Item = Family>) -> Self {
        let mut joined: Vec<Family> = Vec::new();
        for family in families.into_iter().filter(|family| !family.is_empty()) {
            match joined.iter_mut().find(|other| other.name() == family.name()) {
                Some(other) => other.extend(family),
                None => joined.push(family),
            }
        }
        let dropped = joined.iter_mut().map(Family::drop_repeated).sum();
        Self { families: joined.iter().map(FORMAT.encode).collect(), dropped }
    }
}

/// Some whole families, encoded.
#[derive(Debug)]
pub struct Chunk {
    /// Absent once packed.
    plain: Option<Bytes>,
    length: usize,
    deflated: OnceLock<Deflated>,
    series: usize,
    dropped: usize,
}

impl Chunk {
    /// The value of `Content-Type`.
    pub const CONTENT_TYPE: &'static str = FORMAT.content_type;

    /// Encodes families. Those of one name are joined, and repeated series dropped.
    pub fn encode<'a>(families: impl IntoIterator<Item = &'a Family>) -> Self {
        Self::join(&[&Encoded::new(families.into_iter().cloned())])
    }

    /// Puts encoded families together: a family that several have under one head, and a series
    /// that several have once.
    pub fn join(parts: &[&Encoded]) -> Self {
        let mut places = HashMap::new();
        let mut families: Vec<Vec<&EncodedFamily>> = Vec::new();
        for family in parts.iter().flat_map(|part| &part.families) {
            let place = *places.entry(family.name.as_str()).or_insert(families.len());
            if place == families.len() {
                families.push(Vec::new());
            }
            families[place].push(family);
        }
        let all = || families.iter().flatten();
        let length = all().map(|family| family.head.len() + family.samples.len()).sum();
        let mut plain = Vec::with_capacity(length);
        let repeated: usize = families.iter().map(|parts| (FORMAT.join)(parts, &mut plain)).sum();
        plain.shrink_to_fit();
        Self {
            length: plain.len(),
            plain: Some(plain.into()),
            deflated: OnceLock::new(),
            series: all().map(|family| family.series).sum::<usize>() - repeated,
            dropped: parts.iter().map(|part| part.dropped).sum::<usize>() + repeated,
        }
    }

    /// The same, compressed now rather than when it is asked for, and kept only so: for chunks
    /// that outlast many a scrape. It is a seventh as large.
    pub fn packed(mut self) -> Self {
        self.deflated();
        self.plain = None;
        self
    }

    /// The families, uncompressed.
    pub fn plain(&self) -> Bytes {
        self.plain.clone().unwrap_or_else(|| self.deflated().plain(self.length))
    }

    /// Several chunks as one gzip member, in parts to be sent one after another. Prometheus would
    /// read a member for each chunk as well; browsers, curl and wget would show the first.
    pub fn gzip<'a>(chunks: impl IntoIterator<Item = &'a Self>) -> Vec<Bytes> {
        gzip::member(chunks.into_iter().map(Self::deflated))
    }

    fn deflated(&self) -> &Deflated {
        self.deflated.get_or_init(|| Deflated::new(self.plain.as_deref().unwrap_or_default()))
    }

    /// The uncompressed length in bytes.
    pub fn plain_length(&self) -> usize {
        self.length
    }

    /// The number of samples, a histogram counted as one.
    pub fn series(&self) -> usize {
        self.series
    }

    /// The number of repeated series that were dropped.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
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
        let text = chunk.plain();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains(r#"db_pool_size{pool="a \"quoted\"\nname\\"} 5"#), "{text}");
    }

    #[test]
    fn families_of_one_name_share_one_header() {
        let mut other = family(1.0);
        other.label_all("server", "b");
        let chunk = Chunk::encode([&family(5.0), &other]);
        let text = chunk.plain();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.matches("# TYPE").count(), 1);
        assert_eq!(chunk.series(), 2);
    }

    #[test]
    fn a_series_of_two_readings_is_shown_once() {
        let (first, mut second) = (family(5.0), family(6.0));
        second.sample(&[("pool", "other")], 7.0);
        let chunk = Chunk::join(&[&Encoded::new([first]), &Encoded::new([second])]);
        let text = chunk.plain();
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
        let encoded = Encoded::new([family]);
        let chunk = Chunk::join(&[&encoded, &encoded]);
        assert_eq!((chunk.series(), chunk.dropped()), (1, 1));
        assert_eq!(chunk.plain(), Chunk::join(&[&encoded]).plain());
    }

    #[test]
    fn a_packed_chunk_reads_as_before() {
        let plain = Chunk::encode([&family(5.0)]);
        let packed = Chunk::encode([&family(5.0)]).packed();
        assert_eq!(packed.plain(), plain.plain());
        assert_eq!(Chunk::gzip([&packed]), Chunk::gzip([&plain]));
        assert_eq!(packed.plain_length(), plain.plain().len());
    }
}
