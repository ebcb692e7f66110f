//! What it means: each rule looks at what is known and says what is wrong and what to do.
//!
//! A rule is a file here: a struct whose fields are its thresholds, with a pure `judge`. To add
//! one, write the file, give it a field in [`Settings`] and a place in `Settings::rules`. A rule
//! need not think of time that passes: what it says counts once it was said for `Rule::after`
//! without a break, and is withdrawn when it was not said for a while (`clear_after`).

mod broken_connections;
mod connection_budget;
mod connection_leak;
mod covered_index;
mod history;
mod hot_worker;
mod idle_in_transaction;
mod inherited_connections;
mod invalid_index;
mod known;
mod missing_index;
mod n_plus_one;
mod n_plus_one_suspected;
mod overflow_churn;
mod pgbouncer;
mod pool_exhausted;
mod pool_usage;
mod query_latency;
#[cfg(test)]
mod scene;
mod server_cpu;
mod slow_queries;
mod statement_latency;
mod table_scans;
mod time_to_scale;
mod unindexed_foreign_key;
mod unpaginated;
mod unused_index;
mod verdicts;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use history::History;
use verdicts::Verdicts;

pub use known::{Known, Server};

/// A judgement comes at most this often.
const PERIOD: Duration = Duration::from_millis(900);

/// How much it matters, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will hurt if it goes on.
    Warning,
    /// Hurts now.
    Critical,
}

impl Severity {
    /// The value of the label `severity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One thing that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The rule that says so.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: a pool, a table, a statement.
    pub subject: String,
    /// What is wrong, with the figure.
    pub message: String,
    /// A thing to do.
    pub remedy: String,
}

/// One rule: its fields are its thresholds.
trait Rule {
    /// The label `rule`, and its key in the settings.
    fn name(&self) -> &'static str;

    /// Whether it is asked at all.
    fn enabled(&self) -> bool;

    /// For how long it must say so without a break before it counts.
    fn after(&self) -> Duration {
        Duration::ZERO
    }

    /// What it says of this moment, and of what went before. `rule` is filled in by who asks.
    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice>;
}

/// Something that a rule says.
fn say(
    severity: Severity,
    subject: impl Into<String>,
    message: String,
    remedy: impl Into<String>,
) -> Advice {
    Advice { rule: "", severity, subject: subject.into(), message, remedy: remedy.into() }
}

/// Every rule with its thresholds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// For how long a rule must say nothing before its advice is withdrawn.
    #[serde(with = "humantime_serde")]
    pub clear_after: Duration,
    pool_usage: pool_usage::PoolUsage,
    pool_exhausted: pool_exhausted::PoolExhausted,
    hot_worker: hot_worker::HotWorker,
    connection_leak: connection_leak::ConnectionLeak,
    idle_in_transaction: idle_in_transaction::IdleInTransaction,
    connection_budget: connection_budget::ConnectionBudget,
    overflow_churn: overflow_churn::OverflowChurn,
    inherited_connections: inherited_connections::InheritedConnections,
    broken_connections: broken_connections::BrokenConnections,
    query_latency: query_latency::QueryLatency,
    statement_latency: statement_latency::StatementLatency,
    slow_queries: slow_queries::SlowQueries,
    n_plus_one: n_plus_one::NPlusOne,
    n_plus_one_suspected: n_plus_one_suspected::NPlusOneSuspected,
    unpaginated: unpaginated::Unpaginated,
    missing_index: missing_index::MissingIndex,
    invalid_index: invalid_index::InvalidIndex,
    unused_index: unused_index::UnusedIndex,
    covered_index: covered_index::CoveredIndex,
    unindexed_foreign_key: unindexed_foreign_key::UnindexedForeignKey,
    table_scans: table_scans::TableScans,
    server_cpu: server_cpu::ServerCpu,
    time_to_scale: time_to_scale::TimeToScale,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clear_after: Duration::from_secs(30),
            pool_usage: pool_usage::PoolUsage::default(),
            pool_exhausted: pool_exhausted::PoolExhausted::default(),
            hot_worker: hot_worker::HotWorker::default(),
            connection_leak: connection_leak::ConnectionLeak::default(),
            idle_in_transaction: idle_in_transaction::IdleInTransaction::default(),
            connection_budget: connection_budget::ConnectionBudget::default(),
            overflow_churn: overflow_churn::OverflowChurn::default(),
            inherited_connections: inherited_connections::InheritedConnections::default(),
            broken_connections: broken_connections::BrokenConnections::default(),
            query_latency: query_latency::QueryLatency::default(),
            statement_latency: statement_latency::StatementLatency::default(),
            slow_queries: slow_queries::SlowQueries::default(),
            n_plus_one: n_plus_one::NPlusOne::default(),
            n_plus_one_suspected: n_plus_one_suspected::NPlusOneSuspected::default(),
            unpaginated: unpaginated::Unpaginated::default(),
            missing_index: missing_index::MissingIndex::default(),
            invalid_index: invalid_index::InvalidIndex::default(),
            unused_index: unused_index::UnusedIndex::default(),
            covered_index: covered_index::CoveredIndex::default(),
            unindexed_foreign_key: unindexed_foreign_key::UnindexedForeignKey::default(),
            table_scans: table_scans::TableScans::default(),
            server_cpu: server_cpu::ServerCpu::default(),
            time_to_scale: time_to_scale::TimeToScale::default(),
        }
    }
}

impl Settings {
    fn rules(&self) -> [&dyn Rule; 23] {
        [
            &self.pool_usage,
            &self.pool_exhausted,
            &self.hot_worker,
            &self.connection_leak,
            &self.idle_in_transaction,
            &self.connection_budget,
            &self.overflow_churn,
            &self.inherited_connections,
            &self.broken_connections,
            &self.query_latency,
            &self.statement_latency,
            &self.slow_queries,
            &self.n_plus_one,
            &self.n_plus_one_suspected,
            &self.unpaginated,
            &self.missing_index,
            &self.invalid_index,
            &self.unused_index,
            &self.covered_index,
            &self.unindexed_foreign_key,
            &self.table_scans,
            &self.server_cpu,
            &self.time_to_scale,
        ]
    }
}

/// Asks the rules again and again, and keeps what they say steady.
#[derive(Debug)]
pub struct Advisor {
    settings: Settings,
    history: History,
    verdicts: Verdicts,
    judged_at: Option<Instant>,
}

impl Advisor {
    /// An advisor who has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        let (history, verdicts) = (History::default(), Verdicts::default());
        Self { settings, history, verdicts, judged_at: None }
    }

    /// Judges by other thresholds from now on; what was seen is kept.
    pub fn change(&mut self, settings: Settings) {
        let rules = settings.rules().into_iter().filter(|rule| rule.enabled());
        self.verdicts.keep_only(&rules.map(Rule::name).collect::<Vec<_>>());
        self.settings = settings;
    }

    /// What there is to say now, worst first.
    pub fn review(&mut self, known: &Known<'_>, now: Instant) -> Vec<Advice> {
        let due = self.judged_at.is_none_or(|at| now.saturating_duration_since(at) >= PERIOD);
        if due {
            self.judged_at = Some(now);
            self.history.remember(known, now);
            for rule in self.settings.rules().into_iter().filter(|rule| rule.enabled()) {
                let said = rule.judge(known, &self.history);
                let times = (rule.after(), self.settings.clear_after);
                self.verdicts.hear(rule.name(), times, said, now);
            }
        }
        sorted(self.verdicts.standing())
    }
}

/// What the rules say of a single look, as far as that can be said without a past.
pub fn at_a_glance(settings: &Settings, known: &Known<'_>, now: Instant) -> Vec<Advice> {
    let mut history = History::default();
    history.remember(known, now);
    let rules = settings.rules().into_iter().filter(|rule| rule.enabled());
    sorted(rules.flat_map(|rule| named(rule.name(), rule.judge(known, &history))).collect())
}

fn named(rule: &'static str, said: Vec<Advice>) -> impl Iterator<Item = Advice> {
    said.into_iter().map(move |advice| Advice { rule, ..advice })
}

fn sorted(mut advice: Vec<Advice>) -> Vec<Advice> {
    advice.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| (&a.subject, a.rule).cmp(&(&b.subject, b.rule)))
    });
    advice
}
