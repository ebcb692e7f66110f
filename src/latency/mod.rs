//! Timings gathered into histograms: counted where each is known, estimated where only their
//! number, sum, spread and extremes are.

mod beta;
mod estimate;
mod log_counts;
mod moments;
mod shape;
mod share_bounds;
mod timed;
mod weighted;

pub use estimate::Estimate;
pub use log_counts::{Above, AboveByDatabase, Around, LogCounts, LoggedAround};
pub use moments::{Interval, Moments};
pub use poolwatch_client::histogram::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};
pub use share_bounds::ShareBounds;
pub use timed::is_timed;
pub use weighted::Weighted;
