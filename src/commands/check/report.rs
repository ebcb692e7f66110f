//! Advice: of the running daemon, which has observed for a while; else from one reading.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::advice::{self, RuleContext, Severity};
use crate::commands::daemon;
use crate::commands::rating::Rating;
use crate::config::Config;
use crate::reading::{Reading, Top};
use crate::state::{DatabaseState, PoolState, RecentPool};

/// No more than these are shown.
const LIMIT: usize = 10;
/// No more statements than these are shown, and no more characters of each.
const STATEMENTS: usize = 5;
const CHARACTERS: usize = 120;

/// Advice, and where it comes from.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AdviceReport {
    /// The daemon's address; `None` when nobody but this command looked.
    pub(super) daemon: Option<String>,
    advice: Vec<AdviceLine>,
    /// The statements that matter most, those first that took most time.
    top_statements: Vec<TopStatement>,
    /// The sources that the daemon reads.
    #[serde(skip)]
    sources: Vec<DaemonSource>,
}

/// As in `/health/detailed`.
#[derive(Debug, Deserialize)]
struct DaemonSource {
    name: String,
    status: String,
}

/// As in `/health/detailed`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AdviceLine {
    rule: String,
    severity: String,
    subject: String,
    message: String,
    remedy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    explained_by: Option<CauseLine>,
}

/// As in `/health/detailed`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CauseLine {
    rule: String,
    subject: String,
}

/// As in `/health/detailed`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TopStatement {
    server: String,
    datname: String,
    queryid: String,
    sql: String,
    calls: u64,
    seconds: f64,
    mean_seconds: f64,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    over_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct DetailedHealth {
    advice: Vec<AdviceLine>,
    #[serde(default)]
    top_statements: Vec<TopStatement>,
    #[serde(default)]
    sources: Vec<DaemonSource>,
}

impl AdviceReport {
    /// The daemon's, where one listens and says it to everybody.
    pub(super) async fn from_daemon(config: &Config) -> Option<Self> {
        let address = daemon::address(config);
        let ask = daemon::get(&address, "/health/detailed");
        let body = timeout(daemon::TIMEOUT, ask).await.ok()?.ok()?;
        let detailed: DetailedHealth = serde_json::from_slice(&body).ok()?;
        let DetailedHealth { advice, top_statements, sources } = detailed;
        Some(Self { daemon: Some(address), advice, top_statements, sources })
    }

    /// Returns whether the daemon reads a source that this command perhaps cannot.
    pub(super) fn reads(&self, source: &str) -> bool {
        self.sources.iter().any(|one| one.name == source && one.status == "up")
    }

    /// The advice that follows from these readings alone.
    pub(super) fn from_readings(config: &Config, readings: &[Reading]) -> Self {
        let thresholds = &config.thresholds;
        let pools: Vec<_> = readings
            .iter()
            .flat_map(|reading| reading.pools.iter().cloned())
            .map(|pool| PoolState::judge(pool, RecentPool::default(), thresholds))
            .collect();
        let sessions = readings.iter().filter_map(|reading| reading.sessions.clone());
        let databases: Vec<_> = sessions
            .map(|sessions| DatabaseState {
                name: sessions.server.clone(),
                top: readings
                    .iter()
                    .filter_map(|reading| reading.top.clone())
                    .find(|top| top.server == sessions.server),
                sessions: Some(sessions),
                ..DatabaseState::default()
            })
            .collect();
        let context = RuleContext {
            pools: pools.iter().collect(),
            databases: &databases,
            findings: Vec::new(),
            indexes: readings.iter().filter_map(|reading| reading.indexes.as_ref()).collect(),
            servers: Vec::new(),
            thresholds,
        };
        let advised = advice::judge_once(&config.advice, &context, Instant::now());
        let top = readings.iter().filter_map(|reading| reading.top.as_ref());
        Self {
            daemon: None,
            sources: Vec::new(),
            advice: advised.into_iter().map(AdviceLine::from).collect(),
            top_statements: top.flat_map(|top| TopStatement::from_top(top)).collect(),
        }
    }

    /// Nothing when there is nothing to say.
    pub(super) fn text(&self, terminal: bool) -> String {
        self.top() + &self.advised(terminal)
    }

    /// The statements that took most time, with what is known of each.
    fn top(&self) -> String {
        let Some(first) = self.top_statements.first() else { return String::new() };
        let over = first.over_seconds.map_or_else(String::new, |seconds| {
            let seconds = Duration::from_secs_f64(seconds.max(1.0).round());
            format!(" in {}", humantime::format_duration(seconds))
        });
        let mut page = format!(
            "\nstatements that took most time{over}:\n{:>10}  {:>10}  {:>10}  {:>10}\n",
            "time", "calls", "mean", "rows"
        );
        for one in self.top_statements.iter().take(STATEMENTS) {
            let (time, mean) = (format!("{:.1} s", one.seconds), 1000.0 * one.mean_seconds);
            let mean = format!("{mean:.2} ms");
            let (calls, rows, sql) = (one.calls, one.rows, short(&one.sql));
            let _ = writeln!(page, "{time:>10}  {calls:>10}  {mean:>10}  {rows:>10}  {sql}");
        }
        page
    }

    fn advised(&self, terminal: bool) -> String {
        let mut page = match (&self.daemon, self.advice.is_empty()) {
            (None, true) => return String::new(),
            (None, false) => "\nat a glance (a running daemon, which sees more, is not \
                              reached):\n"
                .to_owned(),
            (Some(address), true) => format!("\nthe daemon at {address} advises nothing\n"),
            (Some(address), false) => format!("\nthe daemon at {address} advises:\n"),
        };
        for one in self.advice.iter().take(LIMIT) {
            page.push_str(&one.text(terminal));
        }
        if let Some(more) = self.advice.len().checked_sub(LIMIT).filter(|more| *more > 0) {
            let _ = writeln!(page, "  and {more} more in /health/detailed");
        }
        page
    }
}

impl TopStatement {
    fn from_top(top: &Top) -> impl Iterator<Item = Self> {
        top.statements.iter().map(|statement| Self {
            server: top.server.clone(),
            datname: statement.database.to_string(),
            queryid: statement.query_id.to_string(),
            sql: statement.text.shown.clone(),
            calls: statement.stats.calls,
            seconds: statement.stats.seconds,
            mean_seconds: statement.stats.mean(),
            rows: statement.stats.rows,
            over_seconds: top.seconds,
        })
    }
}

fn short(sql: &str) -> String {
    match sql.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &sql[..at]),
        None => sql.to_owned(),
    }
}

impl AdviceLine {
    /// A consequence stands below its cause, without a remedy of its own.
    fn text(&self, terminal: bool) -> String {
        let Self { rule, subject, message, remedy, .. } = self;
        let sign = self.rating().shown(terminal);
        match &self.explained_by {
            None => format!("{sign} {subject}: {message} ({rule})\n  → {remedy}\n"),
            Some(cause) => {
                format!(
                    "  {sign} {subject}: {message} ({rule}, which follows from {})\n",
                    cause.rule
                )
            }
        }
    }

    fn rating(&self) -> Rating {
        if self.severity == Severity::Critical.as_str() { Rating::Bad } else { Rating::Doubtful }
    }
}

impl From<advice::Advice> for AdviceLine {
    fn from(advice: advice::Advice) -> Self {
        Self {
            rule: advice.rule.to_owned(),
            severity: advice.severity.as_str().to_owned(),
            subject: advice.subject,
            message: advice.message,
            remedy: advice.remedy,
            explained_by: advice
                .explained_by
                .map(|cause| CauseLine { rule: cause.rule.to_owned(), subject: cause.subject }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Statement, StatementStats};
    use crate::statement::Text;

    #[test]
    fn advice_is_shown_with_its_remedy_and_who_gave_it() {
        let advice = || AdviceLine {
            rule: "pool_usage".into(),
            severity: "critical".into(),
            subject: "web".into(),
            message: "19 of 20".into(),
            remedy: "close sessions".into(),
            explained_by: None,
        };
        let daemon = Some("127.0.0.1:8001".to_owned());
        let advice = (0..12).map(|_| advice()).collect();
        let page = AdviceReport { daemon, advice, ..AdviceReport::default() }.text(false);
        assert!(page.contains("✗ web: 19 of 20 (pool_usage)\n  → close sessions\n"), "{page}");
        assert!(
            page.contains("8001 advises:") && page.ends_with("and 2 more in /health/detailed\n")
        );
        assert_eq!(AdviceReport::default().text(true), "");
    }

    #[test]
    fn the_statements_that_took_most_time_are_shown_in_short() {
        let text = Text { shown: "x".repeat(400), ..Text::default() };
        let stats = StatementStats { calls: 4, seconds: 1.0, rows: 8, ..StatementStats::default() };
        let statement = Statement { text: text.into(), stats, ..Statement::default() };
        let top = Top { seconds: Some(3600.2), statements: vec![statement], ..Top::default() };
        let top_statements = TopStatement::from_top(&top).collect();
        let page = AdviceReport { top_statements, ..AdviceReport::default() }.text(false);
        assert!(page.contains("most time in 1h:") && page.contains(" 250.00 ms "), "{page}");
        assert!(page.ends_with("x…\n") && page.chars().count() < 320, "{page}");
    }
}
