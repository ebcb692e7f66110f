//! The bounds of the statements within each threshold, narrowed by the server's log where it has all
//! statements above the threshold.
//!
//! A reading of the log is of another moment than a sample of the statistics, so each sample is taken
//! between two readings: the first has at most as many statements as there had been, the second at
//! least as many. The difference does not grow: it is what ran in a second or two.

use std::ops::Range;
use std::time::Instant;

use crate::latency::{Above, Around, BOUNDS, Estimate, LogCounts, LoggedAround};
use crate::reading::LoggedCalls;
use crate::window::Window;

/// The thresholds, in seconds.
pub(super) const THRESHOLDS: [(&str, f64); 3] = [("0.1", 0.1), ("0.2", 0.2), ("1", 1.0)];

/// The samples that the log's counts are compared with.
#[derive(Debug, Default)]
pub(super) struct LogMark {
    /// When the marked sample was taken.
    sampled: Option<Range<Instant>>,
    /// Seconds from which on the server logged all statements, since the last break.
    from: Option<f64>,
}

/// A number of statements, at least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Count {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// The statements of one database that took at most each threshold.
#[derive(Debug, Default)]
pub(super) struct WithinBounds {
    now: Counts,
    marked: Counts,
    /// What the estimate's own bounds had reached at the last sample.
    estimated: [Count; THRESHOLDS.len()],
    /// As it was shown: a counter does not fall.
    shown: [Count; THRESHOLDS.len()],
    anchor: Option<Anchor>,
}

/// All statements at one sample, and those within each threshold.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u64,
    within: [Count; THRESHOLDS.len()],
}

/// A sample from which on the log has been complete.
#[derive(Debug)]
struct Anchor {
    epoch: u64,
    counts: Counts,
    above: LoggedAbove,
    /// The last that the bounds were narrowed at, and those of the last minutes.
    last: Option<Settled>,
    recent: Window<Settled>,
}

/// Statements above each bound by the log, at one sample.
#[derive(Clone, Copy, Debug)]
struct LoggedAbove {
    least: Above,
    most: Above,
}

/// A sample, and what the log has of all statements until then.
#[derive(Clone, Copy, Debug)]
struct Settled {
    calls: u64,
    from: f64,
    above: LoggedAbove,
}

impl LogMark {
    /// Narrows the bounds at the marked sample, once the log was read after it.
    pub(super) fn settle<'a>(
        &mut self,
        counts: &LogCounts,
        databases: impl Iterator<Item = (&'a str, &'a mut WithinBounds)>,
    ) {
        let (Some(sampled), Some(from)) = (&self.sampled, self.from) else { return };
        match counts.around(sampled) {
            Around::Pending => return,
            Around::Missing => databases.for_each(|(_, bounds)| bounds.anchor = None),
            Around::Counted(around) => databases.for_each(|(name, bounds)| {
                let above = LoggedAbove::new(&around, name);
                bounds.settle(around.epoch, &above, from, sampled.end);
            }),
        }
        self.sampled = None;
    }

    /// Marks a sample, unless another is marked. The log has all statements since the last that took
    /// so many seconds or more; `None` where it may lack some.
    pub(super) fn mark<'a>(
        &mut self,
        sampled: Range<Instant>,
        from: Option<f64>,
        databases: impl Iterator<Item = &'a mut WithinBounds>,
    ) {
        let is_broken = from.is_none() || self.from != from;
        if !is_broken && self.sampled.is_some() {
            return;
        }
        (self.from, self.sampled) = (from, Some(sampled));
        for bounds in databases {
            bounds.marked = bounds.now;
            if is_broken {
                bounds.anchor = None;
            }
        }
    }
}

impl WithinBounds {
    /// Adds what ran since the last sample, within the bounds that the statistics give.
    pub(super) fn grow(&mut self, estimate: &Estimate) {
        let calls = estimate.calls() - self.now.calls;
        self.now.calls = estimate.calls();
        for (at, (_, seconds)) in THRESHOLDS.into_iter().enumerate() {
            let (least, most) = estimate.calls_above(seconds);
            let above = Count { least, most };
            let before = std::mem::replace(&mut self.estimated[at], above);
            let (now, shown) = (&mut self.now.within[at], &mut self.shown[at]);
            now.least += calls.saturating_sub(above.most - before.most);
            now.most += calls.saturating_sub(above.least - before.least);
            shown.least = shown.least.max(now.least);
            shown.most = shown.most.max(now.most);
        }
    }

    /// The statements within each threshold.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, Count)> {
        THRESHOLDS.into_iter().zip(self.shown).map(|((name, _), count)| (name, count))
    }

    /// The statements of the last five minutes that the log has.
    pub(super) fn recent(&self, now: Instant) -> Option<LoggedCalls> {
        let anchor = self.anchor.as_ref()?;
        let (last, first) = (anchor.last.as_ref()?, anchor.recent.first(now)?);
        let grown =
            |now: &Above, then: &Above| std::array::from_fn(|at| now[at].saturating_sub(then[at]));
        Some(LoggedCalls {
            from: last.from,
            calls: last.calls - first.calls,
            least: grown(&last.above.least, &first.above.most),
            most: grown(&last.above.most, &first.above.least),
        })
    }

    /// Narrows the bounds at the marked sample, where the log has all statements from so many seconds.
    /// A log that never had one of this database may be another server's. Where it has more than the
    /// statistics allow, or fewer, they did not count the same statements.
    fn settle(&mut self, epoch: u64, above: &LoggedAbove, from: f64, now: Instant) {
        let settled = Settled { calls: self.marked.calls, from, above: *above };
        let Some(anchor) = self.anchor.as_mut().filter(|anchor| anchor.epoch == epoch) else {
            let (counts, last, mut recent) = (self.marked, None, Window::default());
            recent.keep(now, || settled);
            self.anchor = Some(Anchor { epoch, counts, above: *above, last, recent });
            return;
        };
        anchor.recent.keep(now, || settled);
        if above.most[bound_from(from)] == 0 {
            return;
        }
        let narrowed = anchor.narrowed(&self.marked, above, from);
        let Some(narrowed) = narrowed else {
            self.anchor = None;
            return;
        };
        anchor.last = Some(settled);
        let marked = std::mem::replace(&mut self.marked.within, narrowed);
        for ((now, before), after) in self.now.within.iter_mut().zip(marked).zip(narrowed) {
            now.least += after.least - before.least;
            now.most -= before.most - after.most;
        }
    }
}

impl Anchor {
    /// The bounds at a later sample; `None` if they contradict those that it had.
    fn narrowed(
        &self,
        marked: &Counts,
        above: &LoggedAbove,
        from: f64,
    ) -> Option<[Count; THRESHOLDS.len()]> {
        let mut narrowed = marked.within;
        let calls = marked.calls - self.counts.calls;
        for (at, (_, seconds)) in
            THRESHOLDS.into_iter().enumerate().filter(|(_, one)| one.1 >= from)
        {
            let bound = bound_from(seconds);
            let least = above.least[bound].saturating_sub(self.above.most[bound]);
            let most = above.most[bound].saturating_sub(self.above.least[bound]);
            let (count, before) = (&mut narrowed[at], self.counts.within[at]);
            count.least = count.least.max(before.least + calls.saturating_sub(most));
            count.most = count.most.min(before.most + calls.saturating_sub(least));
            if count.least > count.most || least > calls {
                return None;
            }
        }
        Some(narrowed)
    }
}

/// The first of [`BOUNDS`] that is not below so many seconds.
fn bound_from(seconds: f64) -> usize {
    BOUNDS.partition_point(|bound| *bound < seconds).min(BOUNDS.len() - 1)
}

impl LoggedAbove {
    fn new(around: &LoggedAround, database: &str) -> Self {
        let [least, most] = [&around.before, &around.after]
            .map(|counts| counts.get(database).copied().unwrap_or([0; BOUNDS.len()]));
        Self { least, most }
    }
}

#[cfg(test)]
mod tests;
