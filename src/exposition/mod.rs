//! A snapshot in the Prometheus text format, version 0.0.4.
//!
//! Families are encoded once, when they were read, into [`Chunk`]s; a scrape only joins them. A
//! chunk that a snapshot shares with the one before is not encoded again.

pub mod itself;
pub mod pools;

use std::io::Write;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use prometheus::{Encoder, TextEncoder};

use crate::metric::Family;

/// The content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Some whole families, encoded.
#[derive(Debug)]
pub struct Chunk {
    text: Bytes,
    gzip: OnceLock<Bytes>,
    series: usize,
    dropped: usize,
}

impl Chunk {
    /// Encodes families, of which those with one name are joined and repeated series left out.
    pub fn encode<'a>(families: impl IntoIterator<Item = &'a Family>) -> Self {
        let mut joined: Vec<Family> = Vec::new();
        for family in families.into_iter().filter(|family| !family.is_empty()) {
            match joined.iter_mut().find(|known| known.name() == family.name()) {
                Some(known) => known.extend(family),
                None => joined.push(family.clone()),
            }
        }
        let dropped = joined.iter_mut().map(Family::drop_repeated).sum();
        let mut text = Vec::new();
        for family in &joined {
            TextEncoder
                .encode(std::slice::from_ref(family.proto()), &mut text)
                .expect("a family with samples can be written to memory");
        }
        let series = joined.iter().map(Family::len).sum();
        Self { text: text.into(), gzip: OnceLock::new(), series, dropped }
    }

    /// The families as text.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The families as one gzip member: members joined are a valid gzip stream.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| compress(&self.text))
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

fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8 + 64), Compression::fast());
    encoder.write_all(text).expect("memory can be written to");
    encoder.finish().expect("memory can be written to").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn family(value: f64) -> Family {
        let mut family = Family::gauge("db_pool_size", "Connections a pool keeps.");
        family.sample(&[("pool", "a \"quoted\"\nname\\")], value);
        family
    }

    #[test]
    fn a_label_is_escaped() {
        let chunk = Chunk::encode([&family(5.0)]);
        let text = std::str::from_utf8(chunk.text()).unwrap();
        assert!(text.contains(r#"db_pool_size{pool="a \"quoted\"\nname\\"} 5"#), "{text}");
    }

    #[test]
    fn families_of_one_name_share_one_header() {
        let mut other = family(1.0);
        other.label_all("server", "b");
        let chunk = Chunk::encode([&family(5.0), &other]);
        let text = std::str::from_utf8(chunk.text()).unwrap();
        assert_eq!(text.matches("# TYPE").count(), 1);
        assert_eq!(chunk.series(), 2);
    }

    #[test]
    fn joined_gzip_reads_as_the_joined_text() {
        let (a, mut b) = (Chunk::encode([&family(5.0)]), Family::counter("b_total", "B."));
        b.sample(&[], 1.0);
        let b = Chunk::encode([&b]);
        let mut read = String::new();
        flate2::read::MultiGzDecoder::new(&*[&a.gzip()[..], b.gzip()].concat())
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read.as_bytes(), [&a.text()[..], b.text()].concat());
    }
}
