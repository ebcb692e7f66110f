//! What holds vacuum back: each is named, and gone when its remedy is followed.

use std::process::Command;

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use serde_json::Value;

use super::{Running, Ward, text};
use crate::support::eventually;

const SERVER: &[(&str, &str)] = &[
    ("max_prepared_transactions", "5"),
    ("wal_level", "logical"),
    ("wal_keep_size", "64MB"),
    // A reader that is stopped is not cut off.
    ("wal_sender_timeout", "0"),
];

const SETTINGS: &str = "sampling: {server: 1s}
advice:
  clear_after: 1s
  vacuum_held_back:
    {transactions: 300, replica_transactions: 300, running_transactions: 300, prepared: 2s}";

/// A transaction whose snapshot is kept.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;";

/// A second server that follows the first, and tells it which rows its queries need.
fn standby_of(primary: &Cluster) -> Cluster {
    let mut standby = Cluster::builder().start().unwrap();
    standby.stop(Stop::Fast).unwrap();
    let data = standby.folder().join("data");
    std::fs::remove_dir_all(&data).unwrap();
    let mut backup = Command::new("pg_basebackup");
    backup.args(["-d", &primary.url("postgres"), "-R", "-c", "fast", "-D"]).arg(&data);
    assert!(backup.status().unwrap().success());
    let mut chown = Command::new("chown");
    chown.args(["-R", "--reference"]).arg(standby.folder()).arg(&data);
    assert!(chown.status().unwrap().success());
    let settings = [
        ("unix_socket_directories", standby.folder().to_str().unwrap()),
        ("hot_standby_feedback", "on"),
        ("wal_receiver_status_interval", "1s"),
        ("max_standby_streaming_delay", "-1"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    standby.configure(&settings).unwrap();
    standby.start().unwrap();
    standby
}

/// Waits until so many sessions of this name are in this state.
#[track_caller]
fn is_in_state(cluster: &Cluster, name: &str, state: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
          WHERE application_name = '{name}' AND state = '{state}' AND query LIKE 'SELECT%'"
    );
    eventually(|| cluster.sql(&sql).unwrap() == "1");
}

/// Ends so many transactions that have a number.
fn burn(ward: &Ward, transactions: u32) {
    let sql = format!(
        "DO $$ BEGIN FOR n IN 1..{transactions} LOOP
             PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    );
    ward.cluster.sql(&sql).unwrap();
}

/// Waits until this is named as the oldest, and these too, with this remedy; returns the remedy.
#[track_caller]
fn oldest(ward: &Ward, named: &str, others: &[&str], remedy: &str) -> String {
    let named = format!(" is held back by {named}");
    let is_told = |one: &Value| {
        let message = text(one, "message");
        one["rule"] == "vacuum_held_back"
            && message.contains(&named)
            && others.iter().all(|other| message.contains(other))
            && text(one, "remedy").contains(remedy)
    };
    let advice = ward.becomes(|advice| advice.iter().any(is_told));
    text(advice.iter().find(|one| is_told(one)).unwrap(), "remedy").to_owned()
}

#[test]
fn each_that_holds_vacuum_back_is_named_and_gone_when_its_remedy_is_followed() {
    let ward = Ward::new(SERVER, SETTINGS);
    let primary = &ward.cluster;
    // The oldest first: a query on a standby, …
    let standby = standby_of(primary);
    let report = format!("{SNAPSHOT} SELECT pg_sleep(3600);");
    let _report = ward.psql_at(&standby.url("postgres"), "report", &report);
    is_in_state(&standby, "report", "active");
    burn(&ward, 50);
    // … a slot whose reader does not read, …
    let url = primary.url("postgres");
    let slot = ["--slot=behind", "--create-slot", "--start", "-f", "/dev/null"];
    let often = ["--status-interval=1", "--fsync-interval=1"];
    let mut reader =
        Running::of(Command::new("pg_recvlogical").args(["-d", &url]).args(slot).args(often));
    let is_read = "SELECT count(*) FROM pg_replication_slots
        JOIN pg_stat_replication ON pid = active_pid WHERE state = 'streaming'";
    eventually(|| primary.sql(is_read).unwrap() == "1");
    reader.process.signal("STOP").unwrap();
    burn(&ward, 50);
    // … one that nobody reads, …
    primary.sql("SELECT pg_create_logical_replication_slot('unread', 'pgoutput')").unwrap();
    burn(&ward, 50);
    // … a session that is idle, …
    let _idle = ward.psql("billing", SNAPSHOT);
    is_in_state(primary, "billing", "idle in transaction");
    burn(&ward, 400);
    // … and a transaction that was prepared: what a reader needs of the catalogue for it begins with the
    // last record of what runs, which a checkpoint writes.
    primary.sql("CHECKPOINT").unwrap();
    primary
        .sql("BEGIN; UPDATE orders SET n = 0 WHERE id = 9; PREPARE TRANSACTION 'forgotten'")
        .unwrap();

    let replica = "the replica walreceiver at a local socket with hot_standby_feedback";
    let others = ["slot behind, whose reader is behind", "slot unread, which nobody reads"];
    oldest(&ward, replica, &others, "end the long query on the replica");
    let cancel =
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_s%'";
    standby.sql(cancel).unwrap();

    let behind = "the replication slot behind, whose reader is behind";
    oldest(&ward, behind, &[], "see why the reader of the slot does not confirm");
    reader.process.signal("CONT").unwrap();
    // What a reader has confirmed is taken from the slot at the next record of what runs.
    let confirmed = "SELECT age(catalog_xmin) < 300 FROM pg_replication_slots
                      WHERE slot_name = 'behind'";
    eventually(|| {
        primary.sql("CHECKPOINT").unwrap();
        primary.sql(confirmed).unwrap() == "t"
    });

    let unread = "the replication slot unread, which nobody reads";
    let remedy = oldest(&ward, unread, &[], "SELECT pg_drop_replication_slot('unread')");
    primary.sql(remedy.split_once(", or, if it will not come back, ").unwrap().1).unwrap();

    let session = ["application billing"];
    let remedy = oldest(&ward, "the session ", &session, "SELECT pg_terminate_backend(");
    primary.sql(remedy.split_once(", and commit").unwrap().0).unwrap();

    let forgotten = "the prepared transaction 'forgotten'";
    oldest(&ward, forgotten, &[], "ROLLBACK PREPARED 'forgotten'");
    primary.sql("ROLLBACK PREPARED 'forgotten'").unwrap();
    eventually(|| ward.advice().iter().all(|one| one["rule"] != "vacuum_held_back"));
}
