//! What is advised: by the daemon that runs, which has watched for a while; else at a glance.

use std::fmt::Write as _;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::advice::{self, Known, Severity};
use crate::commands::daemon;
use crate::commands::verdict::Verdict;
use crate::config::Config;
use crate::reading::{Origin, Reading, Timings};
use crate::snapshot::{DatabaseState, PoolState};

/// No more than these are shown.
const LIMIT: usize = 10;

/// What is advised, and by whom.
#[derive(Debug, Default, Serialize)]
pub(super) struct Opinion {
    /// The daemon's address; `None` when nobody but this command looked.
    pub(super) daemon: Option<String>,
    advice: Vec<Advice>,
}

/// As in `/health/detailed`.
#[derive(Debug, Deserialize, Serialize)]
struct Advice {
    rule: String,
    severity: String,
    subject: String,
    message: String,
    remedy: String,
}

#[derive(Deserialize)]
struct Detailed {
    advice: Vec<Advice>,
}

impl Opinion {
    /// The daemon's, where one listens and says it to everybody.
    pub(super) async fn of_daemon(config: &Config) -> Option<Self> {
        let address = daemon::address(config);
        let ask = daemon::get(&address, "/health/detailed");
        let body = timeout(daemon::PATIENCE, ask).await.ok()?.ok()?;
        let detailed: Detailed = serde_json::from_slice(daemon::body(&body)?).ok()?;
        Some(Self { daemon: Some(address), advice: detailed.advice })
    }

    /// What a single look at these readings says.
    pub(super) fn at_a_glance(config: &Config, readings: &[Reading]) -> Self {
        let marks = &config.thresholds;
        let pools: Vec<_> = readings
            .iter()
            .flat_map(|reading| reading.pools.iter().cloned())
            .filter(|pool| pool.origin != Origin::Shared)
            .map(|pool| PoolState::judge(pool, None, Timings::default(), marks))
            .collect();
        let sessions = readings.iter().filter_map(|reading| reading.sessions.clone());
        let databases: Vec<_> = sessions
            .map(|sessions| DatabaseState {
                name: sessions.server.clone(),
                sessions: Some(sessions),
                ..DatabaseState::default()
            })
            .collect();
        let known = Known {
            pools: pools.iter().collect(),
            databases: &databases,
            findings: Vec::new(),
            indexes: readings.iter().filter_map(|reading| reading.indexes.as_ref()).collect(),
            servers: Vec::new(),
            thresholds: marks,
        };
        let said = advice::at_a_glance(&config.advice, &known, Instant::now());
        Self { daemon: None, advice: said.into_iter().map(Advice::from).collect() }
    }

    /// Nothing when there is nothing to say.
    pub(super) fn text(&self, terminal: bool) -> String {
        let mut page = match (&self.daemon, self.advice.is_empty()) {
            (None, true) => return String::new(),
            (None, false) => "\nat a glance (a running daemon, which sees more, is not \
                              reached):\n"
                .to_owned(),
            (Some(address), true) => format!("\nthe daemon at {address} advises nothing\n"),
            (Some(address), false) => format!("\nthe daemon at {address} advises:\n"),
        };
        for one in self.advice.iter().take(LIMIT) {
            let Advice { rule, subject, message, remedy, .. } = one;
            let sign = one.verdict().shown(terminal);
            let _ = writeln!(page, "{sign} {subject}: {message} ({rule})\n  → {remedy}");
        }
        if let Some(more) = self.advice.len().checked_sub(LIMIT).filter(|more| *more > 0) {
            let _ = writeln!(page, "  and {more} more in /health/detailed");
        }
        page
    }
}

impl Advice {
    fn verdict(&self) -> Verdict {
        if self.severity == Severity::Critical.as_str() { Verdict::Bad } else { Verdict::Doubtful }
    }
}

impl From<advice::Advice> for Advice {
    fn from(advice: advice::Advice) -> Self {
        Self {
            rule: advice.rule.to_owned(),
            severity: advice.severity.as_str().to_owned(),
            subject: advice.subject,
            message: advice.message,
            remedy: advice.remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_shown_with_its_remedy_and_who_gave_it() {
        let advice = || Advice {
            rule: "pool_usage".into(),
            severity: "critical".into(),
            subject: "web".into(),
            message: "19 of 20".into(),
            remedy: "close sessions".into(),
        };
        let daemon = Some("127.0.0.1:8001".to_owned());
        let page = Opinion { daemon, advice: (0..12).map(|_| advice()).collect() }.text(false);
        assert!(page.contains("✗ web: 19 of 20 (pool_usage)\n  → close sessions\n"), "{page}");
        assert!(
            page.contains("8001 advises:") && page.ends_with("and 2 more in /health/detailed\n")
        );
        assert_eq!(Opinion::default().text(true), "");
    }
}
