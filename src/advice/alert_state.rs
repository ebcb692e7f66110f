//! The states of alerts: advice is firing once it was given for a while, and is resolved once it was
//! not given for a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Advice, Severity};

/// The times at which a rule gave advice that is firing.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The first of them, since when it has been firing or about to.
    pub since: Instant,
    /// The last time at which it was given as it is shown, with these figures.
    pub shown: Instant,
    /// The state of the trouble now.
    pub present: Present,
}

/// The present state of a trouble of which advice is still shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Present {
    /// It is as the advice says.
    Same,
    /// It is milder.
    Milder {
        /// Its severity now.
        severity: Severity,
        /// Its message now.
        message: String,
    },
    /// It is over since the rule gave advice for the last time.
    Over(Instant),
}

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
    /// The last advice, which may be milder than the one that is shown.
    last: Advice,
    /// The last time at which its rule judged.
    judged: Instant,
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
            if *other == rule {
                state.judged = now;
            }
            let silent = *other == rule && state.last_given != now;
            // What was never firing begins anew.
            !silent || state.firing && now - state.last_given < clear_after
        });
    }

    /// Lets advice of one rule fire that was given for `after` without a break, where it is urgent.
    pub(super) fn fire_early(
        &mut self,
        rule: &'static str,
        after: Duration,
        now: Instant,
        is_urgent: impl Fn(&Advice) -> bool,
    ) {
        for state in self.0.iter_mut().filter(|((of, _), _)| *of == rule).map(|(_, state)| state) {
            let is_due = state.last_given == now && now - state.since >= after;
            state.firing = state.firing || is_due && is_urgent(&state.advice);
        }
    }

    /// Forgets the advice of all rules but these.
    pub(super) fn retain_rules(&mut self, rules: &[&str]) {
        self.0.retain(|(rule, _), _| rules.contains(rule));
    }

    /// Forgets the advice on these subjects.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.0.retain(|(_, subject), _| !is_gone(subject));
    }

    /// The advice that is firing now.
    pub(super) fn firing(&self) -> Vec<Advice> {
        let firing = self.0.values().filter(|state| state.firing);
        firing.map(AlertState::shown).collect()
    }
}

impl AlertState {
    fn new(advice: &Advice, now: Instant) -> Self {
        let (advice, last) = (advice.clone(), advice.clone());
        let (since, last_given, last_severe, judged) = (now, now, now, now);
        Self { advice, since, last_given, last_severe, last, judged, firing: false }
    }

    /// The advice as it is shown, with the times at which it was given.
    fn shown(&self) -> Advice {
        let present = if self.last_given != self.judged {
            Present::Over(self.last_given)
        } else if self.last_severe == self.judged {
            Present::Same
        } else {
            Present::Milder { severity: self.last.severity, message: self.last.message.clone() }
        };
        let observed = Observed { since: self.since, shown: self.last_severe, present };
        Advice { observed: Some(observed), ..self.advice.clone() }
    }

    fn observe(&mut self, advice: Advice, clear_after: Duration, now: Instant) {
        self.last_given = now;
        self.last.clone_from(&advice);
        if advice.severity >= self.advice.severity || now - self.last_severe >= clear_after {
            self.last_severe = now;
            self.advice = advice;
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// What is shown of a trouble that was critical at the second 0, after other advice.
    fn present(after: &[(u64, Option<Severity>)]) -> (Severity, Observed) {
        let (mut states, start) = (AlertStates::default(), Instant::now());
        for (second, severity) in [(0, Some(Critical))].iter().chain(after) {
            let now = start + Duration::from_secs(*second);
            let advice = |severity| Advice::new(severity, "web", format!("at {second}"), "");
            let advice = severity.map(advice).into_iter().collect();
            states.observe("rule", (Duration::ZERO, TIMES.1), advice, now);
            states.observe("another", TIMES, Vec::new(), now);
        }
        let shown = states.firing().remove(0);
        assert_eq!(shown.observed.as_ref().unwrap().since, start);
        (shown.severity, shown.observed.unwrap())
    }

    #[test]
    fn what_is_forgotten_is_firing_no_more_and_the_rest_is() {
        let mut states = AlertStates::default();
        let both = ["primary/orders", "web"]
            .map(|subject| super::super::Advice::new(Warning, subject, String::new(), ""));
        states.observe("rule", (Duration::ZERO, Duration::ZERO), both.into(), Instant::now());
        states.forget(|subject| subject.starts_with("primary/"));
        let firing = states.firing();
        assert_eq!(firing.iter().map(|one| &*one.subject).collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn advice_that_is_shown_on_says_whether_its_trouble_is_over_or_milder() {
        let (severity, observed) = present(&[(1, Some(Critical))]);
        assert_eq!((severity, observed.present), (Critical, Present::Same));
        let (severity, observed) = present(&[(1, None), (9, None)]);
        assert_eq!((severity, observed.present), (Critical, Present::Over(observed.since)));
        let (severity, observed) = present(&[(2, Some(Warning))]);
        let milder = Present::Milder { severity: Warning, message: "at 2".to_owned() };
        assert_eq!((severity, observed.present), (Critical, milder));
        assert_eq!(observed.shown, observed.since);
        let (severity, observed) = present(&[(2, Some(Warning)), (40, Some(Warning))]);
        assert_eq!((severity, observed.present), (Warning, Present::Same));
    }

    #[test]
    fn advice_grows_worse_at_once_and_milder_slowly() {
        let (w, c) = (Some(Warning), Some(Critical));
        let given = [(0, w), (5, w), (6, c), (7, w), (20, c), (21, w), (49, w), (50, w)];
        assert_eq!(firing(&given), [None, w, c, c, c, c, c, w]);
    }
}
