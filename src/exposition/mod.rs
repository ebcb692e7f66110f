//! Metric families as `/metrics` gives them out: those of poolwatch itself and of the pools, and
//! the formats, one file each.
//!
//! Families are encoded once, when they were read, and put together into [`Chunk`]s; a scrape only
//! sends these. A chunk that a snapshot shares with the one before is not encoded again. Another
//! format is another file like `text.rs`.

mod chunk;
mod format;
mod gzip;
mod holders;
pub mod pools;
pub mod self_metrics;
pub mod session_owners;
mod text;

pub use chunk::{Chunk, Encoded};
