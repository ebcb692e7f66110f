//! The highest level of the last minute, whoever reads it and however often, and that since the last
//! report.

use tokio::time::Instant;

/// The length of the window in seconds.
const WINDOW: u64 = 60;
/// The present second and those of the window.
const CELLS: usize = 61;

/// The highest level over the last minute, to the second.
#[derive(Debug)]
pub(super) struct Peak {
    began: Instant,
    /// A second since the beginning and the highest level that ended in it.
    cells: [(u64, u64); CELLS],
}

impl Peak {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), cells: [(0, 0); CELLS] }
    }

    /// Keeps a level that ends now.
    pub(super) fn record(&mut self, level: u64) {
        let second = self.second();
        let cell = &mut self.cells[usize::try_from(second).map_or(0, |second| second % CELLS)];
        let before = if cell.0 == second { cell.1 } else { 0 };
        *cell = (second, before.max(level));
    }

    /// The highest level of the last minute, the present one included.
    pub(super) fn highest(&self, present: u64) -> u64 {
        let now = self.second();
        let recent = self.cells.iter().filter(|(second, _)| second + WINDOW >= now);
        recent.fold(present, |highest, (_, level)| highest.max(*level))
    }

    fn second(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// The highest level since it was last taken, for one who takes it.
#[derive(Debug, Default)]
pub(super) struct HighWater(u64);

impl HighWater {
    /// Keeps a level that ends now, or one that was taken in vain.
    pub(super) fn record(&mut self, level: u64) {
        self.0 = self.0.max(level);
    }

    /// Takes the highest level, the present one included.
    pub(super) fn take(&mut self, present: u64) -> u64 {
        std::mem::take(&mut self.0).max(present)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_seen_for_a_minute_and_then_forgotten() {
        let mut peak = Peak::new();
        tokio::time::advance(Duration::from_secs(500)).await;
        peak.record(7);
        peak.record(3);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!((peak.highest(1), peak.highest(9)), (7, 9));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(peak.highest(1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_held_for_long_counts_from_its_end() {
        let mut peak = Peak::new();
        tokio::time::advance(Duration::from_hours(1)).await;
        peak.record(5);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(peak.highest(0), 5);
    }
}
