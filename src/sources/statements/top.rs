//! The statements that matter most in the last minutes, with their texts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::by_statement::StatementName;
use super::sample::Sample;
use crate::reading::{Statement, StatementStats, Top};
use crate::statement::Text;
use crate::window::Window;

/// The time that counts as recent.
const REACH: Duration = Duration::from_secs(300);
/// The length of a step, slightly below that of an interval, because samples come early or late.
const STEP: Duration = Duration::from_millis(9500);
/// The number of steps that are shown one by one.
const STEPS: usize = 12;
/// The number of statements of a step that are kept by each measure.
const KEPT: usize = 100;
/// The number of statements that are shown by each measure.
const SHOWN: usize = 20;
/// The number of texts above which those that are not shown now are dropped.
const TEXTS: usize = 300;

type All = HashMap<StatementName, StatementStats>;

/// The statements of the last five minutes, in steps.
#[derive(Debug)]
pub(super) struct RecentStatements {
    steps: Window<All>,
    /// The statements before the first sample, and in how many seconds: shown until there is more.
    ever: Option<(All, Option<f64>)>,
    texts: HashMap<i64, Arc<Text>>,
    /// The time of the first sample.
    began: Option<std::time::Instant>,
}

impl Default for RecentStatements {
    fn default() -> Self {
        let steps = Window::new(REACH, STEP);
        Self { steps, ever: None, texts: HashMap::new(), began: None }
    }
}

impl RecentStatements {
    /// The first sample, or the first at another server.
    pub(super) fn begin(&mut self, ever: All, seconds: Option<f64>, now: Instant) {
        self.steps.clear();
        self.began = Some(now.into_std());
        self.ever = Some((kept(ever), seconds));
    }

    /// Adds what ran since the last sample.
    pub(super) fn add(&mut self, stats: All, now: Instant) {
        self.ever = None;
        let now = now.into_std();
        let began = self.steps.ended().or(self.began).unwrap_or(now);
        self.steps.add(began..now, kept(stats), |step, stats| {
            for (name, stats) in stats {
                *step.entry(name).or_default() += stats;
            }
        });
    }

    fn recent(&self) -> impl Iterator<Item = &All> {
        self.steps.ended().into_iter().flat_map(|now| self.steps.recent(now))
    }

    /// The `query_id`s of the statements that are shown and whose texts are not known.
    pub(super) fn unnamed(&mut self) -> Vec<i64> {
        let shown: HashSet<_> =
            ranked(&self.sums(), SHOWN).into_iter().map(|(_, query_id)| query_id).collect();
        if self.texts.len() > TEXTS {
            self.texts.retain(|query_id, _| shown.contains(query_id));
        }
        shown.into_iter().filter(|query_id| !self.texts.contains_key(query_id)).collect()
    }

    pub(super) fn name(&mut self, texts: HashMap<i64, Arc<Text>>) {
        self.texts.extend(texts);
    }

    fn sums(&self) -> All {
        let mut sums = self.ever.as_ref().map(|(ever, _)| ever.clone()).unwrap_or_default();
        for (name, stats) in self.recent().flatten() {
            *sums.entry(*name).or_default() += *stats;
        }
        sums
    }

    /// The statements that took most time, the first of all first.
    pub(super) fn slowest(&self, count: usize) -> Vec<StatementName> {
        let sums = self.sums();
        let mut all: Vec<_> = sums.iter().map(|(name, stats)| (stats.seconds, *name)).collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(count).map(|(_, name)| name).collect()
    }

    /// Those that matter, with the databases' names from the last sample.
    pub(super) fn top(&self, server: &str, sample: &Sample) -> Top {
        let names: HashMap<i64, &Arc<str>> =
            sample.statements.iter().map(|(key, statement)| (key.1, &statement.database)).collect();
        let sums = self.sums();
        let shown = ranked(&sums, SHOWN);
        let named = shown.into_iter().filter_map(|name| {
            let text = self.texts.get(&name.1).filter(|text| !text.shown.is_empty())?;
            Some(Statement {
                database: Arc::clone(names.get(&name.0)?),
                in_current_database: name.0 == sample.current_database,
                query_id: name.1,
                text: Arc::clone(text),
                stats: sums[&name],
                steps: self.last_steps(name),
                earlier: self.earlier(name),
            })
        });
        let mut statements: Vec<_> = named.collect();
        statements.sort_by(|a, b| b.stats.seconds.total_cmp(&a.stats.seconds));
        Top { server: server.to_owned(), seconds: self.seconds(), statements }
    }

    fn last_steps(&self, name: StatementName) -> Vec<StatementStats> {
        let steps = self.steps.finished(STEPS);
        steps.map(|step| step.get(&name).copied().unwrap_or_default()).collect()
    }

    fn earlier(&self, name: StatementName) -> StatementStats {
        let steps = self.steps.finished(usize::MAX).count();
        let half = self.steps.finished(usize::MAX).take(steps / 2);
        let mut sum = StatementStats::default();
        half.filter_map(|step| step.get(&name)).for_each(|stats| sum += *stats);
        sum
    }

    fn seconds(&self) -> Option<f64> {
        if let Some((_, seconds)) = &self.ever {
            return *seconds;
        }
        Some(self.steps.recent_span(self.steps.ended()?)?.as_secs_f64())
    }
}

/// The statements of a step that are kept, so that not all of thousands are.
fn kept(stats: All) -> All {
    if stats.len() <= KEPT {
        return stats;
    }
    ranked(&stats, KEPT).into_iter().map(|name| (name, stats[&name])).collect()
}

/// The first `count` by each measure, each once.
fn ranked(stats: &All, count: usize) -> HashSet<StatementName> {
    let measures: [fn(&StatementStats) -> f64; 4] = [
        |stats| stats.seconds,
        |stats| stats.calls as f64,
        |stats| stats.rows as f64,
        StatementStats::mean,
    ];
    let mut found = HashSet::new();
    for measure in measures {
        let mut all: Vec<_> = stats.iter().map(|(name, stats)| (measure(stats), *name)).collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.extend(all.into_iter().take(count).map(|(_, name)| name));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::statements::sample::SampledStatement;

    fn stats(calls: u64, seconds: f64) -> StatementStats {
        StatementStats { calls, seconds, rows: calls, ..StatementStats::default() }
    }

    fn sample() -> Sample {
        let statement = SampledStatement { database: "app".into(), ..SampledStatement::default() };
        Sample {
            current_database: 5,
            statements: [((10, 5, 1), statement)].into(),
            ..Sample::default()
        }
    }

    fn named(recent: &mut RecentStatements) -> Top {
        let texts = recent.unnamed().into_iter().map(|query_id| {
            (query_id, Arc::new(Text { shown: query_id.to_string(), ..Text::default() }))
        });
        let texts = texts.collect();
        recent.name(texts);
        recent.top("primary", &sample())
    }

    #[test]
    fn what_ran_before_is_shown_until_something_was_watched() {
        let (mut recent, start) = (RecentStatements::default(), Instant::now());
        recent.begin([((5, 1), stats(90, 4.5))].into(), Some(3600.0), start);
        let top = named(&mut recent);
        assert_eq!((top.seconds, top.statements[0].stats.mean()), (Some(3600.0), 0.05));
        assert!(top.statements[0].in_current_database && top.statements[0].steps.is_empty());
        recent.add(All::new(), start + Duration::from_secs(10));
        let top = recent.top("primary", &sample());
        assert_eq!((top.seconds, top.statements), (Some(10.0), Vec::new()));
    }

    #[test]
    fn recent_is_five_minutes_in_steps_of_ten_seconds() {
        let (mut recent, start) = (RecentStatements::default(), Instant::now());
        recent.begin(All::new(), None, start);
        for second in 1..=400 {
            let now = start + Duration::from_secs(second);
            recent.add([((5, 1), stats(1, 0.01))].into(), now);
        }
        let top = named(&mut recent);
        let statement = &top.statements[0];
        assert!((300..=310).contains(&statement.stats.calls), "{}", statement.stats.calls);
        assert_eq!(statement.steps.len(), STEPS);
        assert!(statement.steps.iter().all(|step| step.calls == 10), "{:?}", statement.steps);
    }

    #[test]
    fn the_first_by_each_measure_are_shown_and_no_more() {
        let (mut recent, start) = (RecentStatements::default(), Instant::now());
        recent.begin(All::new(), None, start);
        let mut all: All = (0..5000).map(|query_id| ((5, query_id), stats(100, 1.0))).collect();
        all.insert((5, 9001), stats(1, 9.0));
        all.insert((5, 9002), stats(1_000_000, 0.1));
        recent.add(all, start + STEP);
        let top = named(&mut recent);
        assert_eq!(top.statements[0].query_id, 9001);
        assert!(top.statements.iter().any(|statement| statement.query_id == 9002));
        assert!(top.statements.len() <= 4 * SHOWN, "{}", top.statements.len());
        assert!(recent.steps.last().unwrap().len() <= 4 * KEPT);
        assert_eq!(recent.unnamed(), [0; 0], "each text is asked for once");
    }
}
