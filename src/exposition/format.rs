//! A format of families. Each format is a file.

use crate::metric::{Family, Kind};

/// A format in which families are given out.
#[derive(Debug)]
pub(super) struct Format {
    /// The value of `Content-Type`.
    pub(super) content_type: &'static str,
    /// Encodes one family that has samples.
    pub(super) encode: fn(&Family) -> EncodedFamily,
    /// Writes one family that has come in parts, and returns the number of its samples that repeat
    /// another and were dropped.
    pub(super) join: fn(&[&EncodedFamily], &mut Vec<u8>) -> usize,
}

/// One family in some format.
#[derive(Debug)]
pub(super) struct EncodedFamily {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The bytes that the family has once, before its samples.
    pub(super) head: Vec<u8>,
    pub(super) samples: Vec<u8>,
    /// The number of its samples, a histogram counted as one.
    pub(super) series: usize,
}
