//! The Prometheus text format, version 0.0.4.

use std::collections::HashSet;

use prometheus::TextEncoder;

use super::format::{EncodedFamily, Format};
use crate::metric::{Family, Kind};

/// The Prometheus text format.
pub(super) const FORMAT: Format =
    Format { content_type: "text/plain; version=0.0.4; charset=utf-8", encode, join };

/// A line for each sample, behind `# HELP` and `# TYPE`.
fn encode(family: &Family) -> EncodedFamily {
    let text = TextEncoder
        .encode_to_string(std::slice::from_ref(family.proto()))
        .expect("a family with samples can be written to memory");
    let head = text.split_inclusive('\n').take_while(|line| line.starts_with('#'));
    let (head, samples) = text.split_at(head.map(str::len).sum());
    EncodedFamily {
        name: family.name().to_owned(),
        kind: family.kind(),
        head: head.into(),
        samples: samples.into(),
        series: family.len(),
    }
}

/// One head, and each line of which no part before has the name and labels.
fn join(parts: &[&EncodedFamily], out: &mut Vec<u8>) -> usize {
    let Some(first) = parts.first() else { return 0 };
    out.extend(&first.head);
    if let [only] = parts {
        out.extend(&only.samples);
        return 0;
    }
    let mut seen = HashSet::new();
    let lines = parts.iter().flat_map(|part| part.samples.split_inclusive(|byte| *byte == b'\n'));
    let (kept, repeated): (Vec<_>, Vec<_>) = lines.partition(|line| seen.insert(series_of(line)));
    out.extend(kept.into_iter().flatten());
    let last_line = last_line(first);
    repeated.iter().filter(|line| line.starts_with(last_line.as_bytes())).count()
}

/// The beginning of the line that ends a sample: a histogram has many lines, and is one sample.
fn last_line(family: &EncodedFamily) -> String {
    match family.kind {
        Kind::Histogram => format!("{}_count", family.name),
        Kind::Gauge | Kind::Counter => family.name.clone(),
    }
}

/// The name and labels of a sample's line: all before its value.
fn series_of(line: &[u8]) -> &[u8] {
    line.iter().rposition(|byte| *byte == b' ').map_or(line, |end| &line[..end])
}
