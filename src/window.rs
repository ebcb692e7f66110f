//! A sliding window: values of the last minutes, kept in steps.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The values of the last minutes. Values that come within one step are kept together.
#[derive(Debug)]
pub(crate) struct Window<T> {
    reach: Duration,
    step: Duration,
    /// In the order of time. The first may have been under way when the window began.
    steps: VecDeque<Step<T>>,
}

/// The window of recent latencies: five minutes.
impl<T> Default for Window<T> {
    fn default() -> Self {
        Self::new(Duration::from_mins(5), Duration::from_secs(15))
    }
}

#[derive(Debug)]
struct Step<T> {
    began: Instant,
    ended: Instant,
    value: T,
}

impl<T> Window<T> {
    /// A window that reaches so far back, with steps of such a length. With steps of no length
    /// each value is kept by itself.
    pub(crate) const fn new(reach: Duration, step: Duration) -> Self {
        Self { reach, step, steps: VecDeque::new() }
    }

    /// Merges what is seen now into the step that is under way; where none is, begins one.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        begin: impl FnOnce() -> T,
        merge: impl FnOnce(&mut T),
    ) {
        match self.current(&(now..now)) {
            Some(value) => merge(value),
            None => self.begin(now..now, begin()),
        }
    }

    /// Keeps a state as it stands when a step begins.
    pub(crate) fn keep(&mut self, now: Instant, state: impl FnOnce() -> T) {
        self.update(now, state, |_| {});
    }

    /// Adds a value of some time, which may begin where that of the value before ended. It belongs
    /// to the step in which it begins.
    pub(crate) fn add(&mut self, span: Range<Instant>, value: T, merge: impl FnOnce(&mut T, T)) {
        match self.current(&span) {
            Some(step) => merge(step, value),
            None => self.begin(span, value),
        }
    }

    /// The step that is under way when a span begins, which it now lasts until the span's end.
    fn current(&mut self, span: &Range<Instant>) -> Option<&mut T> {
        let step = self.steps.back_mut().filter(|step| step.began + self.step > span.start)?;
        step.ended = span.end;
        Some(&mut step.value)
    }

    fn begin(&mut self, span: Range<Instant>, value: T) {
        while self.steps.get(1).is_some_and(|second| second.began + self.reach <= span.end) {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { began: span.start, ended: span.end, value });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
    }

    /// The value of the last step.
    pub(crate) fn last(&self) -> Option<&T> {
        self.steps.back().map(|step| &step.value)
    }

    /// The value of the step that was under way when the window that ends now began; the first
    /// value, where nothing is as old.
    pub(crate) fn first(&self, now: Instant) -> Option<&T> {
        self.under_way(now, self.reach).map(|step| &step.value)
    }

    /// The value of the step that was under way so long before the last step began; the first
    /// value, where nothing is as old.
    pub(crate) fn before(&self, within: Duration) -> Option<&T> {
        self.before_with_age(within).map(|(_, value)| value)
    }

    /// As [`Window::before`], with the time from the beginning of that step to that of the last.
    pub(crate) fn before_with_age(&self, within: Duration) -> Option<(Duration, &T)> {
        let last = self.steps.back()?.began;
        let step = self.under_way(last, within)?;
        Some((last - step.began, &step.value))
    }

    /// The steps since the one that was under way so long before the last began, the oldest first,
    /// with the time from the beginning of each to that of the last.
    pub(crate) fn since(&self, within: Duration) -> impl Iterator<Item = (Duration, &T)> {
        let last = self.steps.back().map(|step| step.began);
        let later = last.map(|last| self.steps.partition_point(|step| step.began + within <= last));
        let steps = self.steps.iter().skip(later.unwrap_or(0).saturating_sub(1));
        steps.filter_map(move |step| Some((last? - step.began, &step.value)))
    }

    /// The time from the beginning of the window to that of the last step.
    pub(crate) fn length(&self) -> Duration {
        self.before_with_age(self.reach).map_or(Duration::ZERO, |(length, _)| length)
    }

    /// The values of the last steps that are over, the oldest first.
    pub(crate) fn finished(&self, count: usize) -> impl Iterator<Item = &T> {
        let is_over = |step: &Step<T>| step.ended >= step.began + self.step;
        let under_way = self.steps.back().is_some_and(|last| !is_over(last));
        let over = self.steps.len() - usize::from(under_way);
        self.steps.range(over.saturating_sub(count)..over).map(|step| &step.value)
    }

    /// The values of the steps that ended within the window that ends now.
    pub(crate) fn recent(&self, now: Instant) -> impl Iterator<Item = &T> {
        self.recent_steps(now).map(|step| &step.value)
    }

    /// The time that these steps cover.
    pub(crate) fn recent_span(&self, now: Instant) -> Option<Duration> {
        Some(self.steps.back()?.ended - self.recent_steps(now).next()?.began)
    }

    /// The end of the last step.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.steps.back().map(|step| step.ended)
    }

    fn recent_steps(&self, now: Instant) -> impl Iterator<Item = &Step<T>> {
        self.steps.iter().filter(move |step| step.ended + self.reach >= now)
    }

    fn under_way(&self, now: Instant, ago: Duration) -> Option<&Step<T>> {
        let later = self.steps.partition_point(|step| step.began + ago <= now);
        self.steps.get(later.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: Duration = Duration::from_mins(10);

    fn window(seconds: &[u64]) -> Window<u64> {
        let (mut window, start) = (Window::new(REACH, Duration::from_secs(5)), Instant::now());
        for second in seconds {
            window.keep(start + Duration::from_secs(*second), || *second);
        }
        window
    }

    #[test]
    fn a_value_is_looked_up_by_how_long_ago_it_was() {
        let window = window(&[0, 5, 10, 60, 65]);
        let before = |seconds| window.before(Duration::from_secs(seconds)).copied();
        assert_eq!(
            [before(60), before(58), before(3), before(900)],
            [Some(5), Some(5), Some(60), Some(0)]
        );
        assert_eq!(window.length(), Duration::from_secs(65));
        assert_eq!(window.finished(2).copied().collect::<Vec<_>>(), [10, 60]);
    }

    #[test]
    fn values_that_are_too_old_are_forgotten() {
        assert_eq!(window(&[0, 5, 700]).steps.len(), 2, "the step that was under way then stays");
    }

    #[test]
    fn values_of_one_step_are_merged() {
        let (mut window, start) = (Window::new(REACH, Duration::from_secs(5)), Instant::now());
        for second in 0..12 {
            window.update(start + Duration::from_secs(second), || 1, |sum| *sum += 1);
        }
        assert_eq!(window.recent(start + REACH).copied().collect::<Vec<_>>(), [5, 5, 2]);
        let later = start + REACH + Duration::from_secs(10);
        assert_eq!(window.recent(later).copied().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_span_belongs_to_the_step_in_which_it_begins() {
        let (mut window, start) = (Window::new(REACH, Duration::from_secs(5)), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        for (from, to) in [(0, 3), (3, 6), (6, 12)] {
            window.add(at(from)..at(to), to - from, |sum, more| *sum += more);
        }
        assert_eq!(window.finished(9).copied().collect::<Vec<_>>(), [6, 6], "both have lasted");
        assert_eq!(window.ended(), Some(at(12)));
        assert_eq!(window.recent_span(at(12)), Some(Duration::from_secs(12)));
        assert_eq!(window.recent_span(at(607)), Some(Duration::from_secs(6)));
    }
}
