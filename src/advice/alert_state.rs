//! The states of alerts: advice is firing once it was given for a while, and is resolved once it was
//! not given for a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Advice;

/// The states of all alerts, by rule and subject.
#[derive(Debug, Default)]
pub(super) struct AlertStates(HashMap<(&'static str, String), AlertState>);

#[derive(Debug)]
struct AlertState {
    advice: Advice,
    /// The time since when it has been given without a break.
    since: Instant,
    /// The last time at which it was given.
    last_given: Instant,
    /// The last time at which it was given with its present severity.
    last_severe: Instant,
    firing: bool,
}

impl AlertStates {
    /// Observes all advice that one rule gives now. It is firing once it was given for `after`
    /// without a break; milder advice replaces it only after `clear_after`.
    pub(super) fn observe(
        &mut self,
        rule: &'static str,
        (after, clear_after): (Duration, Duration),
        advice: Vec<Advice>,
        now: Instant,
    ) {
        for advice in super::named(rule, advice) {
            let key = (rule, advice.subject.clone());
            let state = self.0.entry(key).or_insert_with(|| AlertState::new(&advice, now));
            state.observe(advice, clear_after, now);
            state.firing |= now - state.since >= after;
        }
        self.0.retain(|(other, _), state| {
            let silent = *other == rule && state.last_given != now;
            // What was never firing begins anew.
            !silent || state.firing && now - state.last_given < clear_after
        });
    }

    /// Forgets the advice of all rules but these.
    pub(super) fn retain_rules(&mut self, rules: &[&str]) {
        self.0.retain(|(rule, _), _| rules.contains(rule));
    }

    /// The advice that is firing now.
    pub(super) fn firing(&self) -> Vec<Advice> {
        let firing = self.0.values().filter(|state| state.firing);
        firing.map(|state| state.advice.clone()).collect()
    }
}

impl AlertState {
    fn new(advice: &Advice, now: Instant) -> Self {
        let advice = advice.clone();
        Self { advice, since: now, last_given: now, last_severe: now, firing: false }
    }

    fn observe(&mut self, advice: Advice, clear_after: Duration, now: Instant) {
        self.last_given = now;
        if advice.severity >= self.advice.severity || now - self.last_severe >= clear_after {
            self.last_severe = now;
            self.advice = advice;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::Severity::{Critical, Warning};
    use super::*;

    const TIMES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

    /// Gives advice, or none, at these seconds; returns the firing severity after each.
    fn firing(given: &[(u64, Option<Severity>)]) -> Vec<Option<Severity>> {
        let (mut states, start) = (AlertStates::default(), Instant::now());
        given
            .iter()
            .map(|(second, severity)| {
                let advice =
                    severity.map(|severity| Advice::new(severity, "web", String::new(), ""));
                let now = start + Duration::from_secs(*second);
                states.observe("rule", TIMES, advice.into_iter().collect(), now);
                states.firing().first().map(|advice| advice.severity)
            })
            .collect()
    }

    #[test]
    fn advice_is_firing_only_when_given_without_a_break() {
        let w = Some(Warning);
        assert_eq!(firing(&[(0, w), (4, w), (5, w)]), [None, None, w]);
        assert_eq!(firing(&[(0, w), (3, None), (5, w), (9, w)]), [None; 4]);
    }

    #[test]
    fn advice_is_resolved_a_while_after_it_was_last_given() {
        let w = Some(Warning);
        let given = [(0, w), (5, w), (6, None), (34, None), (35, None)];
        assert_eq!(firing(&given), [None, w, w, w, None]);
        let given = [(0, w), (5, w), (20, None), (34, w), (50, None)];
        assert_eq!(firing(&given), [None, w, w, w, w], "given again it fires longer");
    }

    #[test]
    fn advice_grows_worse_at_once_and_milder_slowly() {
        let (w, c) = (Some(Warning), Some(Critical));
        let given = [(0, w), (5, w), (6, c), (7, w), (20, c), (21, w), (49, w), (50, w)];
        assert_eq!(firing(&given), [None, w, c, c, c, c, c, w]);
    }
}
