//! The newest findings of all workers, each once, a bounded number of them.

use std::time::Duration;

use tokio::time::Instant;

use crate::reading::Finding;

/// The most findings that are kept.
const LIMIT: usize = 100;
/// The time for which a finding is kept after it was last reported.
const MEMORY: Duration = Duration::from_mins(10);

/// The newest findings, by pool, kind, statement and source line.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<(Finding, Instant)>);

impl Findings {
    /// Keeps a finding with its newest figures; the one not reported for longest gives way.
    pub(super) fn keep(&mut self, finding: Finding, now: Instant) {
        let before = self.0.iter_mut().find(|(other, _)| is_same(other, &finding));
        if let Some(before) = before {
            *before = (finding, before.1.max(now));
            return;
        }
        if self.0.len() == LIMIT {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, (_, reported))| *reported);
            if let Some((place, _)) = oldest {
                self.0.swap_remove(place);
            }
        }
        self.0.push((finding, now));
    }

    /// The findings not forgotten, the newest first.
    pub(super) fn recent(&mut self, now: Instant) -> Vec<Finding> {
        self.0.retain(|(_, reported)| now.saturating_duration_since(*reported) < MEMORY);
        self.0.sort_by_key(|(_, reported)| std::cmp::Reverse(*reported));
        self.0.iter().map(|(finding, _)| finding.clone()).collect()
    }
}

fn is_same(a: &Finding, b: &Finding) -> bool {
    (&a.sql, &a.pool, &a.kind, &a.location) == (&b.sql, &b.pool, &b.kind, &b.location)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(sql: impl Into<String>, count: u64) -> Finding {
        Finding {
            pool: "web".into(),
            kind: "n_plus_one".into(),
            sql: sql.into(),
            count,
            rows: count,
            location: None,
        }
    }

    #[test]
    fn a_finding_seen_again_is_shown_once_with_its_newest_figures() {
        let (mut findings, now) = (Findings::default(), Instant::now());
        findings.keep(finding("a", 10), now);
        findings.keep(finding("b", 10), now + Duration::from_secs(1));
        findings.keep(finding("a", 12), now + Duration::from_secs(2));
        let shown = findings.recent(now + Duration::from_secs(3));
        assert_eq!(shown, [finding("a", 12), finding("b", 10)]);
        assert_eq!(findings.recent(now + Duration::from_secs(601)).len(), 1);
        assert_eq!(findings.recent(now + Duration::from_secs(602)).len(), 0);
    }

    #[test]
    fn the_oldest_of_too_many_gives_way() {
        let (mut findings, now) = (Findings::default(), Instant::now());
        for number in 0..=LIMIT {
            findings
                .keep(finding(number.to_string(), 1), now + Duration::from_millis(number as u64));
        }
        let shown = findings.recent(now + Duration::from_secs(1));
        assert_eq!((shown.len(), shown[LIMIT - 1].sql.as_str()), (LIMIT, "1"));
    }
}
