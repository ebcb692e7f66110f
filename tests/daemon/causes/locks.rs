//! Queues for locks: who holds them up, and that what follows is told as a consequence.

use super::{Ward, text};
use crate::support::eventually;

/// The rules that a queue for a lock explains here.
pub(super) const QUEUE: &[&str] =
    &["pool_usage", "pool_exhausted", "idle_in_transaction", "slow_queries"];

/// Follows the remedy of the first advice, as far as it is a query.
#[track_caller]
fn follow(ward: &Ward, remedy: &str) {
    let query = remedy.split_once("SELECT ").unwrap().1.split_once(';').unwrap().0;
    ward.cluster.sql(&format!("SELECT {query}")).unwrap();
}

#[test]
fn the_session_behind_which_a_migration_and_a_crowd_wait_is_named_and_ended() {
    let ward = Ward::new(&[], "advice: {clear_after: 1s}\nsampling: {server: 1s}");
    let application = ward.start("lock_queue");
    let advice = ward.first_is("lock_queue", QUEUE);
    let message = text(&advice[0], "message");
    for part in [
        "most of them behind `ALTER TABLE orders ADD COLUMN IF NOT EXISTS more int`",
        "application reporting, database postgres), which is idle in a transaction",
        "`SELECT count(*) FROM orders`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let causes: Vec<_> = advice.iter().filter(|one| one["explained_by"].is_null()).collect();
    assert!(causes.iter().all(|one| one["rule"] == "lock_queue"), "{causes:#?}");
    assert!(advice.iter().all(|one| !text(one, "remedy").contains("max_overflow")), "{advice:#?}");
    let pool = ward.daemon.get("/health/database/pool").json();
    let recommended = pool["pools"][0]["recommendations"][0].as_str().unwrap().to_owned();
    assert!(recommended.contains("SELECT pg_terminate_backend("), "{pool:#}");
    let blocker = [
        ("application_name", "reporting"),
        ("client_addr", "local"),
        ("state", "idle in transaction"),
    ];
    let figure = |name: &str| ward.daemon.value(&format!("pg_lock_root_blocker_{name}"), &blocker);
    eventually(|| figure("blocked_sessions") > Some(2.0));
    eventually(|| figure("transaction_seconds") > Some(0.0));
    follow(&ward, text(&advice[0], "remedy"));
    eventually(|| ward.advice().iter().all(|one| one["rule"] != "lock_queue"));
    drop(application);
}

#[test]
fn a_statement_that_runs_and_holds_up_a_crowd_is_named_and_cancelled() {
    let ward = Ward::new(&[], "advice: {clear_after: 1s}\nthresholds: {held_too_long: 10s}");
    let _application = ward.start("row_lock");
    let advice = ward.first_is("lock_queue", &["pool_exhausted"]);
    let message = text(&advice[0], "message");
    assert!(
        message.contains("application billing") && message.contains("pg_sleep(?)"),
        "{message}"
    );
    // Holds last longer than they may, and are no leaks: their statements wait.
    let metric = [("pool", "web")];
    eventually(|| ward.daemon.value("db_pool_oldest_checkout_seconds", &metric) > Some(12.0));
    let advice = ward.advice();
    assert!(advice.iter().all(|one| one["rule"] != "connection_leak"), "{advice:#?}");
    assert!(text(&advice[0], "remedy").contains("SELECT pg_cancel_backend("), "{advice:#?}");
    follow(&ward, text(&advice[0], "remedy"));
    eventually(|| ward.advice().iter().all(|one| one["rule"] != "lock_queue"));
}
