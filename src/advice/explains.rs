//! Causes before symptoms: which rule explains which, where several give advice at one moment.

use std::cmp::Reverse;

use poolwatch_client::report::HOLDS;

use super::{Advice, Cause, RuleContext, Severity};
use crate::state::PoolState;

/// The trouble that callers of a pool feel, whatever its cause.
const FULL_POOL: &[&str] =
    &["pool_exhausted", "pool_usage", "overflow_churn", "pool_size", "time_to_scale"];
/// The time that statements take, whatever makes them slow.
const SLOW: &[&str] = &["slow_queries", "statement_latency", "query_latency"];

/// Causes that lie in what statements do.
const BY_STATEMENTS: &[&str] = &[
    "table_scans",
    "n_plus_one",
    "unpaginated",
    "statement_slowdown",
    "slow_queries",
    "server_cpu",
];
/// The age in seconds from which a hold without a statement in flight is not one between two statements.
const IDLE: f64 = 3.0;

/// One cause and what follows from it.
struct Explains {
    cause: &'static str,
    consequences: &'static [&'static [&'static str]],
}

const fn explains(
    cause: &'static str,
    consequences: &'static [&'static [&'static str]],
) -> Explains {
    Explains { cause, consequences }
}

/// Which rule explains which. What two causes explain is put down to the one that stands first.
const EXPLAINS: &[Explains] = &[
    explains(
        "lock_queue",
        &[
            &["connection_leak", "idle_in_transaction", "vacuum_held_back"],
            &["statement_slowdown", "hot_worker", "server_full"],
            SLOW,
            FULL_POOL,
        ],
    ),
    explains(
        "connection_leak",
        &[&["idle_in_transaction", "vacuum_held_back", "hot_worker", "server_full"], FULL_POOL],
    ),
    explains(
        "idle_in_transaction",
        &[&["vacuum_held_back", "hot_worker", "server_full"], FULL_POOL],
    ),
    explains("deadlocks", &[&["statement_slowdown", "hot_worker"], SLOW, FULL_POOL]),
    explains("inherited_connections", &[&["broken_connections"]]),
    explains("missing_index", &[&["table_scans"]]),
    explains("invalid_index", &[&["table_scans"]]),
    explains("unpaginated", &[&["table_scans", "server_cpu", "hot_worker"], SLOW, FULL_POOL]),
    explains(
        "table_scans",
        &[&["statement_slowdown", "hot_worker", "server_cpu"], SLOW, FULL_POOL],
    ),
    explains("n_plus_one", &[&["n_plus_one_suspected", "server_cpu", "hot_worker"], FULL_POOL]),
    explains("statement_slowdown", &[&["hot_worker", "server_cpu"], SLOW, FULL_POOL]),
    explains("slow_queries", &[&["query_latency", "statement_latency", "hot_worker"], FULL_POOL]),
    explains("server_cpu", &[&["query_latency", "statement_latency", "hot_worker"], FULL_POOL]),
    explains("orphaned_sessions", &[&["server_full"]]),
    explains("connection_budget", &[&["server_full"]]),
    explains("server_full", &[&["broken_connections", "hot_worker"], FULL_POOL]),
    explains("hot_worker", &[FULL_POOL]),
    explains("pool_exhausted", &[&["pool_usage", "overflow_churn", "time_to_scale"]]),
    explains("overflow_churn", &[&["connection_churn"]]),
    explains("pool_usage", &[&["time_to_scale"]]),
    explains("query_latency", &[&["time_to_scale"]]),
    explains("statement_latency", &[&["time_to_scale"]]),
];

/// Puts each cause before its consequences, and names it in them; the worst finding first.
pub(super) fn causes_first(advice: &[Advice], context: &RuleContext<'_>) -> Vec<Advice> {
    let roots: Vec<_> = (0..advice.len()).map(|at| root(advice, at, context)).collect();
    let worst_of = |root: usize| {
        let members = advice.iter().zip(&roots).filter(|(_, of)| **of == root);
        members.map(|(member, _)| member.severity).max()
    };
    let mut order: Vec<usize> = (0..advice.len()).collect();
    order.sort_by_cached_key(|&at| {
        let (root, one) = (roots[at], &advice[at]);
        let of_root = (advice[root].subject.clone(), advice[root].rule);
        let own = (at != root, Reverse(one.severity), one.subject.clone(), one.rule);
        (Reverse(worst_of(root)), of_root, own)
    });
    let explained = |at: usize| match roots[at] {
        root if root == at => advice[at].clone(),
        root => advice[at].clone().explained_by(&advice[root]),
    };
    order.into_iter().map(explained).collect()
}

/// The last cause of a piece of advice, which nothing explains; itself, where nothing explains it.
fn root(advice: &[Advice], of: usize, context: &RuleContext<'_>) -> usize {
    let mut at = of;
    // The table has no circle; every step goes to another rule.
    for _ in EXPLAINS {
        match direct_cause(advice, at, context) {
            Some(cause) => at = cause,
            None => break,
        }
    }
    at
}

fn direct_cause(advice: &[Advice], of: usize, context: &RuleContext<'_>) -> Option<usize> {
    let symptom = &advice[of];
    let causes = EXPLAINS.iter().filter(|one| one.is_of(symptom.rule));
    let causes = causes.flat_map(|one| candidates(advice, one.cause));
    let causes: Vec<_> = causes.filter(|&at| applies(context, &advice[at], symptom)).collect();
    let lasting = causes.iter().find(|&&at| !advice[at].is_over());
    // What is over explains what is over, and figures of the last minute.
    let is_of_last_minute = || [FULL_POOL, SLOW].iter().any(|rules| rules.contains(&symptom.rule));
    let may_be_over = || symptom.is_over() || is_of_last_minute();
    lasting.or_else(|| causes.first().filter(|_| may_be_over())).copied()
}

/// Returns true if one piece of advice explains another.
pub(super) fn is_cause(context: &RuleContext<'_>, cause: &Advice, symptom: &Advice) -> bool {
    let is_of_rule = |one: &Explains| one.cause == cause.rule && one.is_of(symptom.rule);
    EXPLAINS.iter().any(is_of_rule) && applies(context, cause, symptom)
}

/// Returns true if advice explains other advice that its rule may explain.
fn applies(context: &RuleContext<'_>, cause: &Advice, symptom: &Advice) -> bool {
    // A hint does not explain a trouble: a backup that runs is not why a pool is full.
    cause.severity >= symptom.severity.min(Severity::Warning)
        && touches(context, cause, symptom)
        && accounts_for(context, cause, symptom)
}

/// Returns false where the readings show that the one is not of the other: an index of another table,
/// or statements where the pool's connections are held without any.
fn accounts_for(context: &RuleContext<'_>, cause: &Advice, symptom: &Advice) -> bool {
    if symptom.rule == "table_scans" {
        return cause.tables.iter().any(|table| symptom.tables.contains(table));
    }
    let by_statements = FULL_POOL.contains(&symptom.rule) && BY_STATEMENTS.contains(&cause.rule);
    let pool = context.pools.iter().find(|pool| pool.pool.name == symptom.subject);
    !by_statements || pool.is_none_or(|pool| !is_held_otherwise(context, pool))
}

/// Returns true if half of a pool's connections are held with no statement in flight, or wait for locks.
fn is_held_otherwise(context: &RuleContext<'_>, pool: &PoolState) -> bool {
    let taken = pool.sum.checked_out.unwrap_or(0);
    let holds = pool.pool.holders.holds.iter().map(|held| &held.hold);
    let idle = holds.filter(|hold| hold.age >= IDLE && hold.active == Some(false)).count() as u64;
    let waiting = match context.databases {
        [only] => only.sessions.as_ref().and_then(|sessions| sessions.waiting_for_lock),
        _ => None,
    };
    // A client reports the longest of its holds only.
    let is_half = |part: u64, whole: u64| part > 0 && 2 * part >= whole;
    is_half(idle, taken.min(HOLDS as u64)) || is_half(waiting.unwrap_or(0), taken)
}

fn candidates(advice: &[Advice], rule: &'static str) -> impl Iterator<Item = usize> {
    advice.iter().enumerate().filter(move |(_, one)| one.rule == rule).map(|(at, _)| at)
}

impl Explains {
    fn is_of(&self, rule: &str) -> bool {
        self.consequences.iter().any(|rules| rules.contains(&rule))
    }
}

/// The pool or the server that advice is about.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Pool(&'a str),
    /// The server, where that is certain.
    Server(Option<&'a str>),
}

/// Returns true if both are about one pool or one server, or about a pool and the server that it
/// connects to. Which one that is, is certain only where there is no other.
fn touches(context: &RuleContext<'_>, cause: &Advice, symptom: &Advice) -> bool {
    let places = [cause, symptom].map(|advice| place(context, &advice.subject));
    match places {
        [Place::Pool(one), Place::Pool(other)] => one == other,
        [Place::Server(one), Place::Server(other)] => one.is_some() && one == other,
        [Place::Pool(_), Place::Server(_)] | [Place::Server(_), Place::Pool(_)] => {
            context.databases.len() == 1
        }
    }
}

fn place<'a>(context: &'a RuleContext<'_>, subject: &'a str) -> Place<'a> {
    if context.pools.iter().any(|pool| pool.pool.name == subject) {
        return Place::Pool(subject);
    }
    if let [only] = context.databases {
        return Place::Server(Some(&only.name));
    }
    // As `RuleContext::within` names the things of one of several servers.
    let server = subject.split_once('/').map_or(subject, |(server, _)| server);
    let server = context.databases.iter().find(|database| database.name == server);
    Place::Server(server.map(|server| server.name.as_str()))
}

impl Advice {
    /// As a consequence. To give a pool more connections would treat a symptom.
    fn explained_by(self, cause: &Self) -> Self {
        let remedy = if FULL_POOL.contains(&self.rule) {
            format!("see first to what it follows from: {} ({})", cause.rule, cause.subject)
        } else {
            self.remedy
        };
        let cause = Cause { rule: cause.rule, subject: cause.subject.clone() };
        Self { remedy, explained_by: Some(cause), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::fixture::Fixture;
    use super::super::{Observed, Present, Rule, Settings};
    use super::*;
    use crate::reading::{Hold, Sessions, WorkerHold};

    fn advice(rule: &'static str, severity: Severity, subject: &str) -> Advice {
        Advice { rule, ..Advice::new(severity, subject, rule.to_owned(), "raise max_overflow") }
    }

    fn fixture(servers: &[&str]) -> Fixture {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.pools = Fixture::with_workers(&[1]).pools;
        let first = fixture.databases.remove(0);
        let named =
            |name: &&str| crate::state::DatabaseState { name: (*name).to_owned(), ..first.clone() };
        fixture.databases = servers.iter().map(named).collect();
        fixture
    }

    fn order(fixture: &Fixture, advice: &[Advice]) -> Vec<(&'static str, Option<&'static str>)> {
        let ordered = causes_first(advice, &fixture.context());
        ordered.iter().map(|one| (one.rule, one.explained_by.as_ref().map(|c| c.rule))).collect()
    }

    #[test]
    fn the_table_names_rules_that_there_are_and_has_no_circle() {
        let settings = Settings::default();
        let rules: BTreeSet<_> = settings.rules().map(Rule::name).collect();
        let mut before = BTreeSet::new();
        for Explains { cause, consequences } in EXPLAINS {
            assert!(before.insert(*cause) && rules.contains(cause), "{cause}");
            for rule in consequences.iter().copied().flatten() {
                assert!(rules.contains(rule), "{rule}");
                assert!(!before.contains(rule), "{rule} explains {cause}, or comes before it");
            }
        }
    }

    #[test]
    fn what_lasts_is_the_cause_before_what_is_over() {
        let fixture = fixture(&["primary"]);
        let over = |rule, severity, subject: &str| {
            let now = fixture.now;
            let observed = Observed { since: now, shown: now, present: Present::Over(now) };
            Advice { observed: Some(observed), ..advice(rule, severity, subject) }
        };
        let idle = || over("idle_in_transaction", Severity::Critical, "primary");
        let exhausted = || advice("pool_exhausted", Severity::Critical, "web");
        let hot = || advice("hot_worker", Severity::Critical, "web");
        let root = |given: &[Advice]| {
            order(&fixture, given).into_iter().find(|one| one.0 == "pool_exhausted")
        };
        let explained_by = |rule| Some(("pool_exhausted", Some(rule)));
        assert_eq!(root(&[exhausted(), idle(), hot()]), explained_by("hot_worker"));
        assert_eq!(
            root(&[exhausted(), idle()]),
            explained_by("idle_in_transaction"),
            "for its last minute"
        );
        let ended = over("hot_worker", Severity::Critical, "web");
        let all_over = order(&fixture, &[ended, idle()]);
        assert!(all_over.contains(&("hot_worker", Some("idle_in_transaction"))), "{all_over:?}");
    }

    #[test]
    fn the_documentation_has_the_table() {
        let row = |one: &Explains| {
            let consequences: Vec<_> =
                one.consequences.iter().copied().flatten().copied().collect();
            format!("| {} | {} |\n", one.cause, consequences.join(", "))
        };
        let table: String = EXPLAINS.iter().map(row).collect();
        let document = include_str!("../../docs/advice.md");
        assert!(document.contains(&format!("| --- | --- |\n{table}\n")), "it is to be:\n{table}");
    }

    #[test]
    fn a_cause_stands_before_what_is_worse_and_follows_from_it() {
        let given = vec![
            advice("pool_exhausted", Severity::Critical, "web"),
            advice("server_cpu", Severity::Warning, "primary"),
            advice("pool_usage", Severity::Critical, "web"),
            advice("table_scans", Severity::Warning, "orders").with_tables(["orders"]),
            advice("missing_index", Severity::Warning, "idx_orders").with_tables(["public.orders"]),
            advice("covered_index", Severity::Info, "idx_other"),
        ];
        let cause = Some("missing_index");
        assert_eq!(
            order(&fixture(&["primary"]), &given),
            [
                ("missing_index", None),
                ("pool_exhausted", cause),
                ("pool_usage", cause),
                ("table_scans", cause),
                ("server_cpu", cause),
                ("covered_index", None),
            ]
        );
        let ordered = causes_first(&given, &fixture(&["primary"]).context());
        let of_pool = ordered.iter().find(|one| one.rule == "pool_exhausted").unwrap();
        assert!(of_pool.remedy.ends_with("missing_index (idx_orders)"), "{}", of_pool.remedy);
    }

    #[test]
    fn an_index_or_a_list_explains_the_scans_of_its_own_table_only() {
        let of = |rule, table| {
            let cause = advice(rule, Severity::Warning, "web").with_tables([table]);
            let scans = advice("table_scans", Severity::Warning, "orders");
            let given = [cause, scans.with_tables(["orders"])];
            order(&fixture(&["primary"]), &given).contains(&("table_scans", Some(rule)))
        };
        for rule in ["missing_index", "invalid_index", "unpaginated"] {
            assert_eq!((of(rule, "orders"), of(rule, "items")), (true, false), "{rule}");
        }
    }

    #[test]
    fn statements_do_not_fill_a_pool_whose_connections_are_idle_or_wait_for_locks() {
        let given = BY_STATEMENTS.iter().map(|rule| advice(rule, Severity::Warning, "web"));
        let given: Vec<_> =
            given.chain([advice("pool_usage", Severity::Critical, "web")]).collect();
        let is_explained = |active: bool, waiting: u64| {
            let mut fixture = fixture(&["primary"]);
            fixture.pools = Fixture::with_workers(&[20]).pools;
            let hold = Hold { age: 4.0, active: Some(active), ..Hold::default() };
            let held = WorkerHold { hold, ..WorkerHold::default() };
            fixture.pools[0].pool.holders.holds = vec![held; HOLDS];
            let waiting_for_lock = Some(waiting);
            fixture.databases[0].sessions =
                Some(Sessions { waiting_for_lock, ..Sessions::default() });
            order(&fixture, &given)
                .iter()
                .any(|(rule, cause)| *rule == "pool_usage" && cause.is_some())
        };
        assert!(is_explained(true, 2), "statements are in flight");
        assert!(!is_explained(false, 0), "none is");
        assert!(!is_explained(true, 18), "they wait for locks");
    }

    #[test]
    fn a_hint_does_not_explain_a_trouble() {
        let given = vec![
            advice("slow_queries", Severity::Info, "primary"),
            advice("pool_usage", Severity::Critical, "web"),
        ];
        let alone = [("pool_usage", None), ("slow_queries", None)];
        assert_eq!(order(&fixture(&["primary"]), &given), alone);
    }

    #[test]
    fn of_several_servers_nobody_knows_which_one_a_pool_is_of() {
        let given = vec![
            advice("server_cpu", Severity::Warning, "replica"),
            advice("pool_usage", Severity::Critical, "web"),
            advice("statement_latency", Severity::Warning, "replica/app"),
            advice("statement_latency", Severity::Warning, "primary/app"),
        ];
        assert_eq!(
            order(&fixture(&["primary", "replica"]), &given),
            [
                ("pool_usage", None),
                ("statement_latency", None),
                ("server_cpu", None),
                ("statement_latency", Some("server_cpu")),
            ]
        );
    }
}
