//! Advice: each rule judges the state of pools and servers, and says what is wrong and what to do.
//!
//! A rule is a file here: a struct whose fields are its thresholds, with a pure `judge`. To add
//! one, write the file, and give it a line in `rules!` below, beside its `mod`. A rule need not
//! think of time that passes: its advice is firing once it was given for `Rule::after` without a
//! break, and is resolved when it was not given for a while (`clear_after`).

mod alert_state;
mod broken_connections;
mod connection_budget;
mod connection_churn;
mod connection_leak;
mod context;
mod covered_index;
mod deadlocks;
mod explains;
#[cfg(test)]
mod fixture;
mod holders;
mod hot_worker;
mod idle_in_transaction;
mod inherited_connections;
mod invalid_index;
mod lock_queue;
mod missing_index;
mod n_plus_one;
mod n_plus_one_suspected;
mod orphaned_sessions;
mod overflow_churn;
mod pgbouncer;
mod pool_exhausted;
mod pool_size;
mod pool_timeout;
mod pool_usage;
mod query_latency;
mod recent;
mod recycle_herd;
mod server_cpu;
mod server_full;
mod slow_queries;
mod slow_statement;
mod statement_latency;
mod statement_slowdown;
mod table_scans;
mod time_to_scale;
mod unindexed_foreign_key;
mod unpaginated;
mod unused_index;
mod vacuum_held_back;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use alert_state::AlertStates;
use recent::Recent;

pub use alert_state::{Observed, Present};
pub use context::{RuleContext, ServerFigures};
pub(crate) use table_scans::choose;

use crate::statement::unqualified;

/// The least time between two judgements.
const PERIOD: Duration = Duration::from_millis(900);

/// The severity of advice, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
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
        self.into()
    }
}

/// One thing that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Advice {
    /// The rule that gives it.
    pub rule: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// The pool, table or statement that it is about.
    pub subject: String,
    /// The trouble, with the figure.
    pub message: String,
    /// A thing to do.
    pub remedy: String,
    /// The SQL statements of the remedy, in order, where it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<String>,
    /// The tables that it is about, where that matters to what it explains.
    #[serde(skip)]
    pub tables: Vec<String>,
    /// The advice that it is a consequence of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained_by: Option<Cause>,
    /// The times at which it was given; `None` of advice on a single reading.
    #[serde(skip)]
    pub observed: Option<Observed>,
}

/// The advice that explains others.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cause {
    /// The rule that gives it.
    pub rule: &'static str,
    /// Its subject.
    pub subject: String,
}

impl Advice {
    /// Returns true if it is shown of a trouble that is over.
    pub(crate) fn is_over(&self) -> bool {
        let observed = self.observed.as_ref();
        observed.is_some_and(|observed| matches!(observed.present, Present::Over(_)))
    }

    /// Advice whose rule is filled in by whoever asks the rules.
    fn new(
        severity: Severity,
        subject: impl Into<String>,
        message: String,
        remedy: impl Into<String>,
    ) -> Self {
        let (subject, remedy) = (subject.into(), remedy.into());
        let (explained_by, observed) = (None, None);
        Self {
            rule: "",
            severity,
            subject,
            message,
            remedy,
            sql: Vec::new(),
            tables: Vec::new(),
            explained_by,
            observed,
        }
    }

    /// The same, with the SQL statements of its remedy.
    fn with_sql(self, sql: Vec<String>) -> Self {
        Self { sql, ..self }
    }

    /// The same, with the tables that it is about; a table of any schema.
    fn with_tables<'a>(self, tables: impl IntoIterator<Item = &'a str>) -> Self {
        let tables = tables.into_iter().map(|table| unqualified(table).to_owned());
        Self { tables: tables.collect(), ..self }
    }
}

/// One rule: its fields are its thresholds.
trait Rule {
    /// The label `rule`, and its key in the settings.
    fn name(&self) -> &'static str;

    /// `false` if the settings switch it off.
    fn enabled(&self) -> bool;

    /// The time for which it must give advice without a break before that is firing.
    fn after(&self) -> Duration {
        Duration::ZERO
    }

    /// The same time where something is firing that it explains: what is then told first is the cause.
    fn after_consequence(&self) -> Duration {
        self.after()
    }

    /// Judges this moment and the last minutes. `rule` is filled in by whoever asks.
    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice>;
}

/// Makes the settings of the rules, and the list of them, from one line for each: its key in the
/// settings, which is its file, and its type.
macro_rules! rules {
    ($($name:ident: $rule:ident,)+) => {
        /// Every rule with its thresholds.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            /// The time for which a rule must give no advice before the last is resolved.
            #[serde(with = "humantime_serde")]
            pub clear_after: Duration,
            $($name: $name::$rule,)+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    clear_after: Duration::from_secs(30),
                    $($name: $name::$rule::default(),)+
                }
            }
        }

        impl Settings {
            fn rules(&self) -> impl Iterator<Item = &dyn Rule> {
                [$(&self.$name as &dyn Rule),+].into_iter()
            }
        }
    };
}

rules! {
    pool_usage: PoolUsage,
    pool_exhausted: PoolExhausted,
    hot_worker: HotWorker,
    connection_leak: ConnectionLeak,
    idle_in_transaction: IdleInTransaction,
    lock_queue: LockQueueRule,
    deadlocks: Deadlocks,
    vacuum_held_back: VacuumHeldBack,
    connection_budget: ConnectionBudget,
    server_full: ServerFull,
    orphaned_sessions: OrphanedSessions,
    overflow_churn: OverflowChurn,
    connection_churn: ConnectionChurn,
    pool_size: PoolSize,
    recycle_herd: RecycleHerd,
    pool_timeout: PoolTimeout,
    inherited_connections: InheritedConnections,
    broken_connections: BrokenConnections,
    query_latency: QueryLatency,
    statement_latency: StatementLatency,
    slow_queries: SlowQueries,
    statement_slowdown: StatementSlowdown,
    n_plus_one: NPlusOne,
    n_plus_one_suspected: NPlusOneSuspected,
    unpaginated: Unpaginated,
    missing_index: MissingIndex,
    invalid_index: InvalidIndex,
    unused_index: UnusedIndex,
    covered_index: CoveredIndex,
    unindexed_foreign_key: UnindexedForeignKey,
    table_scans: TableScansRule,
    server_cpu: ServerCpuRule,
    time_to_scale: TimeToScale,
}

/// Asks the rules again and again, and keeps their advice steady.
#[derive(Debug)]
pub struct Advisor {
    settings: Settings,
    recent: Recent,
    states: AlertStates,
    judged_at: Option<Instant>,
}

impl Advisor {
    /// An advisor that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        let (recent, states) = (Recent::default(), AlertStates::default());
        Self { settings, recent, states, judged_at: None }
    }

    /// Judges by other thresholds from now on; the last minutes and the states are kept.
    pub fn change(&mut self, settings: Settings) {
        let rules = settings.rules().filter(|rule| rule.enabled());
        self.states.retain_rules(&rules.map(Rule::name).collect::<Vec<_>>());
        self.settings = settings;
    }

    /// Forgets the last minutes of a server, and all advice on these subjects; what lasts is found
    /// again.
    pub fn forget(&mut self, server: &str, is_gone: impl Fn(&str) -> bool) {
        self.recent.forget(server);
        self.states.forget(is_gone);
    }

    /// The advice that is firing now: the worst first, and each cause before its consequences.
    pub fn review(&mut self, context: &RuleContext<'_>, now: Instant) -> Vec<Advice> {
        let due = self.judged_at.is_none_or(|at| now.saturating_duration_since(at) >= PERIOD);
        if due {
            self.judged_at = Some(now);
            self.recent.add(context, now);
            for rule in self.settings.rules().filter(|rule| rule.enabled()) {
                let advice = rule.judge(context, &self.recent);
                let times = (rule.after(), self.settings.clear_after);
                self.states.observe(rule.name(), times, advice, now);
            }
            self.fire_causes(context, now);
        }
        explains::causes_first(&self.states.firing(), context)
    }

    /// Lets causes fire together with what follows from them.
    fn fire_causes(&mut self, context: &RuleContext<'_>, now: Instant) {
        let firing = self.states.firing();
        for rule in self.settings.rules().filter(|rule| rule.enabled()) {
            let is_cause = |cause: &Advice| {
                // What is only good to know is no reason to hurry.
                let mut troubles = firing.iter().filter(|one| one.severity >= cause.severity);
                troubles.any(|symptom| explains::is_cause(context, cause, symptom))
            };
            self.states.fire_early(rule.name(), rule.after_consequence(), now, is_cause);
        }
    }
}

/// The advice on a single reading, as far as rules can judge it alone.
pub fn judge_once(settings: &Settings, context: &RuleContext<'_>, now: Instant) -> Vec<Advice> {
    let mut recent = Recent::default();
    recent.add(context, now);
    let rules = settings.rules().filter(|rule| rule.enabled());
    let advice = rules.flat_map(|rule| named(rule.name(), rule.judge(context, &recent)));
    explains::causes_first(&advice.collect::<Vec<_>>(), context)
}

fn named(rule: &'static str, advice: Vec<Advice>) -> impl Iterator<Item = Advice> {
    advice.into_iter().map(move |advice| Advice { rule, ..advice })
}
