//! Keeps what rules say steady: it counts once it was said for a while, and stands a while longer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Advice;

/// What rules say, by rule and subject.
#[derive(Debug, Default)]
pub(super) struct Verdicts(HashMap<(&'static str, String), Verdict>);

#[derive(Debug)]
struct Verdict {
    advice: Advice,
    /// Since when it is said without a break.
    since: Instant,
    /// When it was last said.
    heard: Instant,
    /// When it was last said as severely as it stands.
    severe: Instant,
    counts: bool,
}

impl Verdicts {
    /// Hears all that one rule says now. It counts when it was said for `after` without a break;
    /// milder words replace it only after `clear_after`.
    pub(super) fn hear(
        &mut self,
        rule: &'static str,
        (after, clear_after): (Duration, Duration),
        said: Vec<Advice>,
        now: Instant,
    ) {
        for advice in super::named(rule, said) {
            let key = (rule, advice.subject.clone());
            let verdict = self.0.entry(key).or_insert_with(|| Verdict::new(&advice, now));
            verdict.hear(advice, clear_after, now);
            verdict.counts |= now - verdict.since >= after;
        }
        self.0.retain(|(of, _), verdict| {
            let silent = *of == rule && verdict.heard != now;
            // What was never said for long enough begins anew.
            !silent || verdict.counts && now - verdict.heard < clear_after
        });
    }

    /// Forgets what rules said that are asked no more.
    pub(super) fn keep_only(&mut self, asked: &[&str]) {
        self.0.retain(|(rule, _), _| asked.contains(rule));
    }

    /// What counts now.
    pub(super) fn standing(&self) -> Vec<Advice> {
        let counting = self.0.values().filter(|verdict| verdict.counts);
        counting.map(|verdict| verdict.advice.clone()).collect()
    }
}

impl Verdict {
    fn new(advice: &Advice, now: Instant) -> Self {
        Self { advice: advice.clone(), since: now, heard: now, severe: now, counts: false }
    }

    fn hear(&mut self, advice: Advice, clear_after: Duration, now: Instant) {
        self.heard = now;
        if advice.severity >= self.advice.severity || now - self.severe >= clear_after {
            self.severe = now;
            self.advice = advice;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Critical, Warning};
    use super::super::{Severity, say};
    use super::*;

    const TIMES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

    /// Says it, or nothing, at these seconds; returns what stands after each.
    fn standing(said: &[(u64, Option<Severity>)]) -> Vec<Option<Severity>> {
        let (mut verdicts, start) = (Verdicts::default(), Instant::now());
        said.iter()
            .map(|(second, severity)| {
                let said = severity.map(|severity| say(severity, "web", String::new(), ""));
                let now = start + Duration::from_secs(*second);
                verdicts.hear("rule", TIMES, said.into_iter().collect(), now);
                verdicts.standing().first().map(|advice| advice.severity)
            })
            .collect()
    }

    #[test]
    fn it_counts_only_when_said_without_a_break() {
        let w = Some(Warning);
        assert_eq!(standing(&[(0, w), (4, w), (5, w)]), [None, None, w]);
        assert_eq!(standing(&[(0, w), (3, None), (5, w), (9, w)]), [None; 4]);
    }

    #[test]
    fn it_stands_for_a_while_after_it_was_last_said() {
        let w = Some(Warning);
        let said = [(0, w), (5, w), (6, None), (34, None), (35, None)];
        assert_eq!(standing(&said), [None, w, w, w, None]);
        let said = [(0, w), (5, w), (20, None), (34, w), (50, None)];
        assert_eq!(standing(&said), [None, w, w, w, w], "said again it stands longer");
    }

    #[test]
    fn it_grows_worse_at_once_and_milder_slowly() {
        let (w, c) = (Some(Warning), Some(Critical));
        let said = [(0, w), (5, w), (6, c), (7, w), (20, c), (21, w), (49, w), (50, w)];
        assert_eq!(standing(&said), [None, w, c, c, c, c, c, w]);
    }
}
