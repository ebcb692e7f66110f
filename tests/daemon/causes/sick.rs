//! Each sick application's cause stands first.

use std::thread;
use std::time::{Duration, Instant};

use super::{Ward, text};
use crate::support::eventually;

/// A sick application, the rule that names its cause, and a part of the message.
const SICK: &[(&str, &str, &str)] = &[
    ("deadlock", "deadlocks", "deadlocks in the database postgres"),
    ("churn", "connection_churn", "connections are opened each second"),
    ("idle_in_transaction", "idle_in_transaction", "application web"),
    ("leak", "connection_leak", "none came back"),
    ("small_pool", "pool_exhausted", "callers"),
];

#[track_caller]
fn cause_is_first((case, rule, part): (&str, &str, &str)) {
    let ward = Ward::new(&[("deadlock_timeout", "100ms")], "sampling: {server: 5s}");
    let _application = ward.start(case);
    let advice = ward.first_is(rule, &[]);
    assert!(text(&advice[0], "message").contains(part), "{advice:#?}");
    assert!(!text(&advice[0], "remedy").is_empty(), "{advice:#?}");
}

#[test]
fn the_cause_of_each_sick_application_stands_first() {
    // Each has a server and a daemon of its own.
    let running: Vec<_> =
        SICK.iter().map(|sick| (sick.0, thread::spawn(|| cause_is_first(*sick)))).collect();
    let failed = running.into_iter().filter_map(|(name, one)| one.join().err().map(|_| name));
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_server_that_others_have_filled_names_them() {
    let ward = Ward::new(&[("max_connections", "25")], "");
    let _others = ward.start("full_server");
    let advice = ward.first_is("server_full", &[]);
    assert!(text(&advice[0], "message").contains(" of reporting"), "{advice:#?}");
}

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
    let changed = Instant::now();
    let advice = ward.first_is("statement_slowdown", &[]);
    let message = text(&advice[0], "message");
    assert!(message.contains("SELECT pg_sleep(seconds) FROM pace"), "{message}");
    assert!(changed.elapsed() < Duration::from_mins(1), "{:?}", changed.elapsed());
}

/// The advice of what holds vacuum back, after transactions that make it old.
#[track_caller]
fn held_back(ward: &Ward, part: &str) -> String {
    let burn = "DO $$ BEGIN FOR n IN 1..12000 LOOP
        UPDATE orders SET n = 0 WHERE id = 1; COMMIT; END LOOP; END $$";
    ward.cluster.sql(burn).unwrap();
    eventually(|| {
        let advice = ward.advice();
        let found = advice.iter().find(|one| one["rule"] == "vacuum_held_back")?;
        let message = text(found, "message");
        message.contains(part).then(|| text(found, "remedy").to_owned())
    })
}

#[test]
fn what_holds_vacuum_back_is_named_and_its_remedy_helps() {
    let server = [("max_prepared_transactions", "5"), ("wal_level", "logical")];
    let settings =
        "sampling: {server: 2s}\nadvice: {clear_after: 1s, vacuum_held_back: {prepared: 2s}}";
    let ward = Ward::new(&server, settings);
    let gone = || eventually(|| ward.advice().iter().all(|one| one["rule"] != "vacuum_held_back"));
    ward.cluster
        .sql("BEGIN; UPDATE orders SET n = 0 WHERE id = 9; PREPARE TRANSACTION 'forgotten'")
        .unwrap();
    let remedy = held_back(&ward, "the prepared transaction 'forgotten'");
    assert!(remedy.contains("ROLLBACK PREPARED 'forgotten'"), "{remedy}");
    ward.cluster.sql("ROLLBACK PREPARED 'forgotten'").unwrap();
    gone();
    ward.cluster.sql("SELECT pg_create_logical_replication_slot('unread', 'pgoutput')").unwrap();
    let remedy = held_back(&ward, "the replication slot unread, which nobody reads");
    assert!(remedy.contains("pg_drop_replication_slot('unread')"), "{remedy}");
    ward.cluster.sql("SELECT pg_drop_replication_slot('unread')").unwrap();
    gone();
}
