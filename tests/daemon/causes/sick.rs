//! Each sick application's cause stands first.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Ward, is_first, text};
use crate::support::{eventually, is_busy};

/// A sick application, the rule that names its cause, a part of the message, and the rules that it explains.
pub(super) struct Sick {
    case: &'static str,
    pub(super) rule: &'static str,
    part: &'static str,
    pub(super) consequences: &'static [&'static str],
    /// A part of the remedy, and the application as it is when the remedy was followed.
    remedy: Option<(&'static str, &'static str)>,
    /// Workers that begin when all of them report; from then on nothing is told without its cause.
    workers: Option<f64>,
}

impl Sick {
    const fn remedied(self, part: &'static str, case: &'static str) -> Self {
        Self { remedy: Some((part, case)), ..self }
    }

    const fn of_workers(self, workers: f64) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// True where the cause stands first with its remedy, explains its consequences, and no other speaks as
    /// a cause; and where none advises what another says does not help.
    fn is_told_by(&self, advice: &[Value]) -> bool {
        let Some(first) = advice.first() else { return false };
        let (causes, consequences): (Vec<_>, Vec<_>) =
            advice.iter().partition(|one| one["explained_by"].is_null());
        let is_other = |one: &&Value| one["severity"] != "info" && one["rule"] != self.rule;
        let enlarges = |one: &&Value| text(one, "remedy").contains("max_overflow");
        is_first(advice, self.rule, self.consequences)
            && text(first, "message").contains(self.part)
            && !text(first, "remedy").is_empty()
            && self.remedy.is_none_or(|(part, _)| text(first, "remedy").contains(part))
            && (is_busy() || !causes.iter().any(is_other))
            && !consequences.iter().any(enlarges)
    }
}

const fn sick(
    case: &'static str,
    rule: &'static str,
    part: &'static str,
    consequences: &'static [&'static str],
) -> Sick {
    Sick { case, rule, part, consequences, remedy: None, workers: None }
}

const FULL: &[&str] = &["pool_exhausted", "pool_usage"];

pub(super) const SICK: &[Sick] = &[
    sick("deadlock", "deadlocks", "deadlocks in the database postgres", &[]),
    sick("churn", "connection_churn", "connections are opened each second", &[])
        .remedied("QueuePool in place of NullPool", "churn_followed"),
    sick("idle_in_transaction", "idle_in_transaction", "application web", FULL),
    sick("leak", "connection_leak", "none came back", FULL)
        .remedied("close every session in a `with` block", "leak_followed"),
    sick("small_pool", "pool_exhausted", "callers", &["pool_usage"]),
    sick("hot_worker", "hot_worker", "of its connections while the other 2", FULL)
        .remedied("work that always goes to the same worker", "hot_worker_followed")
        .of_workers(3.0),
    sick("missing_index", "table_scans", "the table events is read whole", &[]),
    sick("n_plus_one", "n_plus_one", " FROM lines WHERE ? = lines.order_id` ran 30 times", &[])
        .remedied("selectinload()", "n_plus_one_followed"),
    sick(
        "unpaginated",
        "unpaginated",
        "`SELECT id, customer FROM events` returned 20000 rows at ",
        &["table_scans"],
    )
    .remedied("a key to go on from", "unpaginated_followed"),
    sick("broken", "broken_connections", "found broken at ", &[])
        .remedied("set pool_pre_ping=True, and pool_recycle below", "broken_followed"),
    sick("broken_checked", "broken_connections", "found broken at ", &[]).remedied(
        "the pool checks connections before use (pool_pre_ping) and opens others",
        "broken_followed",
    ),
    sick(
        "slow_queries",
        "slow_queries",
        ": `SELECT pg_sleep(?)` was running on a connection taken at ",
        &["pool_exhausted", "pool_usage", "query_latency"],
    ),
];

#[track_caller]
fn cause_is_first(sick: &Sick) {
    let settings = "advice: {clear_after: 5s, broken_connections: {times: 3, within: 30s}}";
    let ward = Ward::new(&[("deadlock_timeout", "100ms")], settings);
    let application = ward.start(sick.case);
    if let Some(workers) = sick.workers {
        cause_is_told_with_its_consequences(&ward, sick, workers);
    }
    // Who it is may be read some seconds later than what is wrong.
    ward.becomes(|advice| sick.is_told_by(advice));
    // The page and `check` say so too.
    eventually(|| ward.first_card().starts_with(sick.rule));
    eventually(|| ward.check()["opinion"]["advice"][0]["rule"] == sick.rule);
    if let Some((_, case)) = sick.remedy {
        drop(application);
        follow(&ward, sick.rule, case);
    }
}

/// Lets the workers begin. What is told of what they do has its cause.
#[track_caller]
fn cause_is_told_with_its_consequences(ward: &Ward, sick: &Sick, workers: f64) {
    eventually(|| ward.daemon.value("db_pool_workers", &[("pool", "web")]) == Some(workers));
    ward.cluster.sql("INSERT INTO begun VALUES (true)").unwrap();
    let is_consequence = |one: &Value| sick.consequences.contains(&text(one, "rule"));
    // Where a worker begins late, the pool is full for a moment before it is known of whom.
    ward.becomes(|advice| {
        let mut consequences = advice.iter().filter(|one| is_consequence(one)).peekable();
        consequences.peek().is_some()
            && consequences.all(|one| one["explained_by"]["rule"] == sick.rule)
    });
}

/// The time for which advice must be gone, in which a leak would be found again.
const QUIET: Duration = Duration::from_secs(25);
/// The time within which it must be so, on a machine that is very slow too.
const LIMIT: Duration = Duration::from_mins(15);

/// Runs the application as its remedy says, until the advice is gone for good. Rules look back over a
/// minute.
#[track_caller]
fn follow(ward: &Ward, rule: &str, case: &str) {
    let connections = || ward.daemon.value("db_pool_checked_in", &[("pool", "web")]);
    eventually(|| connections().is_none());
    let _application = ward.start(case);
    eventually(|| connections().is_some());
    goes_for_good(ward, rule);
    eventually(|| connections().is_some());
}

/// Waits until a rule has told nothing for a while.
#[track_caller]
fn goes_for_good(ward: &Ward, rule: &str) {
    let (began, mut gone) = (Instant::now(), Instant::now());
    while gone.elapsed() < QUIET {
        let advice = ward.advice();
        if advice.iter().any(|one| one["rule"] == rule) {
            gone = Instant::now();
        }
        assert!(began.elapsed() < LIMIT, "{rule}: {advice:#?}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// Connections that are idle in transactions fill a pool, in which a few statements are slow too.
#[track_caller]
fn slow_statements_are_not_why_a_pool_is_full_that_others_hold() {
    let ward = Ward::new(&[], "");
    let _application = ward.start("slow_beside_idle");
    let metric = [("pool", "web")];
    // What is held for a moment only is not known to be idle.
    eventually(|| ward.daemon.value("db_pool_oldest_checkout_seconds", &metric) > Some(8.0));
    let is_of_pool = |one: &&Value| FULL.contains(&text(one, "rule"));
    let began = Instant::now();
    let (mut slow, mut full, mut idle) = (false, false, false);
    while !(slow && full && idle) {
        let advice = ward.advice();
        slow |= advice.iter().any(|one| one["rule"] == "slow_queries");
        for one in advice.iter().filter(is_of_pool) {
            full = true;
            assert_ne!(one["explained_by"]["rule"], "slow_queries", "{advice:#?}");
        }
        idle |= advice.first().is_some_and(|first| first["rule"] == "idle_in_transaction");
        assert!(began.elapsed() < LIMIT, "{advice:#?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A list, and a statement for each of its rows, in an application that does not report.
#[track_caller]
fn an_n_plus_one_is_suspected_until_its_remedy_is_followed() {
    let ward = Ward::new(&[], "sampling: {statements: 2s}\nadvice: {clear_after: 1s}");
    let application = ward.start("unseen_n_plus_one");
    let suspected = || {
        let mut advice = ward.advice().into_iter();
        advice.find(|one| one["rule"] == "n_plus_one_suspected")
    };
    ward.becomes(|_| {
        suspected().is_some_and(|advice| {
            advice["subject"] == "lines"
                && text(&advice, "message").contains(" FROM orders WHERE ")
                && text(&advice, "remedy").contains("selectinload()")
        })
    });
    drop(application);
    let _application = ward.start("unseen_n_plus_one_followed");
    let calls = || {
        let top = ward.daemon.get("/health/detailed").json();
        let statements = top["top_statements"].as_array()?;
        let loads = |one: &&Value| text(one, "sql").contains("lines.order_id IN");
        statements.iter().find(loads)?["calls"].as_u64()
    };
    let before = eventually(calls);
    eventually(|| suspected().is_none());
    // The lists go on, and are not suspected again.
    let mut again = None;
    eventually(|| {
        again = again.take().or_else(suspected);
        calls() >= Some(before + 40)
    });
    assert_eq!(again, None);
}

#[test]
fn the_cause_of_each_sick_application_stands_first() {
    // Each has a server and a daemon of its own.
    let mut running: Vec<_> =
        SICK.iter().map(|sick| (sick.case, thread::spawn(|| cause_is_first(sick)))).collect();
    let beside = thread::spawn(slow_statements_are_not_why_a_pool_is_full_that_others_hold);
    running.push(("slow_beside_idle", beside));
    let beside = thread::spawn(an_n_plus_one_is_suspected_until_its_remedy_is_followed);
    running.push(("unseen_n_plus_one", beside));
    let failed = running.into_iter().filter_map(|(name, one)| one.join().err().map(|_| name));
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn the_pools_that_are_advised_fit_into_the_server() {
    let ward = Ward::new(&[("max_connections", "25")], "advice: {clear_after: 1s}");
    let application = ward.start("budget");
    // Of 25 connections three are reserved, and two are poolwatch's own.
    ward.becomes(|advice| {
        is_first(advice, "connection_budget", &[])
            && text(&advice[0], "remedy").contains("at most 6 (20 / 3 workers)")
    });
    drop(application);
    let _application = ward.start("budget_followed");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'web'";
    eventually(|| ward.cluster.sql(sessions).is_ok_and(|sessions| sessions == "18"));
    goes_for_good(&ward, "connection_budget");
}

#[test]
fn a_server_that_others_have_filled_names_them() {
    let ward = Ward::new(&[("max_connections", "25")], "");
    let _others = ward.start("full_server");
    ward.becomes(|advice| {
        is_first(advice, "server_full", &[])
            && text(&advice[0], "message").contains(" of reporting")
    });
}

/// The rules that a statement which gets slower explains here.
pub(super) const SLOWDOWN: &[&str] = &[];

#[test]
fn a_statement_that_gets_a_hundred_times_slower_is_named_from_the_server_alone() {
    let ward = Ward::new(&[], "");
    let _application = ward.start("slow_statement");
    // It must have been seen while it was quick.
    thread::sleep(Duration::from_secs(1));
    eventually(|| {
        let top = ward.daemon.get("/health/detailed").json();
        let statements = top["top_statements"].as_array()?;
        let of_pace = statements.iter().find(|one| text(one, "sql").contains("FROM pace"))?;
        (of_pace["over_seconds"].as_f64()? >= 20.0 && of_pace["calls"].as_u64()? >= 50)
            .then_some(())
    });
    ward.cluster.sql("UPDATE pace SET seconds = 0.5").unwrap();
    ward.becomes(|advice| {
        is_first(advice, "statement_slowdown", SLOWDOWN)
            && text(&advice[0], "message").contains("SELECT pg_sleep(seconds) FROM pace")
    });
}

#[test]
fn a_pool_is_told_the_size_the_timeout_and_the_age_limits_that_it_needs() {
    let settings = "advice: {pool_size: {min_observed: 5s, min_samples: 100}}\n\
                    thresholds: {pools: {web: {proxy_timeout: 20s}}}";
    let ward = Ward::new(&[], settings);
    // The herd is in a process of its own, whose logins the crowd does not hold up.
    let _applications = [ward.start("small_pool"), ward.start("herd")];
    let is_given = |rule: &str, pool: &str, message: &str, remedy: &str| {
        ward.becomes(|advice| {
            let mut of_pool = advice.iter().filter(|one| one["subject"] == pool);
            let given = of_pool.find(|one| one["rule"] == rule);
            given.is_some_and(|one| {
                text(one, "message").contains(message) && text(one, "remedy").contains(remedy)
            })
        });
    };
    is_given("pool_size", "web", "waited longer than 10 ms, with 5 connections", "set pool_size=");
    eventually(|| {
        let answer = ward.daemon.get("/health/database/pool").json();
        let web = answer["pools"].as_array()?.iter().find(|one| one["pool"] == "web")?;
        (web["sizing"]["pool_size"].as_u64()? > 5).then_some(())
    });
    is_given("pool_timeout", "web", "a caller waits up to 30 s for a connection", "");
    let timeouts = ward.advice().into_iter().filter(|one| one["rule"] == "pool_timeout");
    assert!(timeouts.into_iter().all(|one| one["subject"] == "web"), "the other has no proxy");
    let (message, remedy) =
        (" of 10 connections were replaced within ", "pool_recycle=30 + random.randrange(6)");
    is_given("recycle_herd", "herd", message, remedy);
}
