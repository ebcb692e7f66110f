//! `poolwatch indexes` on a real server: what is missing, building it beside writers, and ends in
//! the middle.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use poolwatch::demo::{ChildProcess, Cluster};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{Output, eventually, poolwatch};

const CATALOGUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
const SCHEMA: &str = include_str!("../../src/demo/schema.sql");

/// The demo's tables, without the nine indexes.
fn bare() -> Cluster {
    let settings = [("log_lock_waits", "on"), ("deadlock_timeout", "2ms")];
    let builder =
        settings.iter().fold(Cluster::builder(), |b, (name, value)| b.setting(name, value));
    let cluster = builder.setting("log_line_prefix", "%a|").start().unwrap();
    let tables: String = SCHEMA
        .lines()
        .filter(|line| !line.starts_with("CREATE INDEX"))
        .collect::<Vec<_>>()
        .join("\n");
    cluster.sql(&tables).unwrap();
    cluster
}

fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url("postgres"));
    command.arg("indexes").arg("--catalogue").arg(CATALOGUE).args(arguments);
    command
}

#[test]
fn a_catalogue_of_another_application_is_told_as_such() {
    let cluster = Cluster::builder().start().unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is the catalogue for another one?"), "{said}");
    assert!(said.contains("config/indexes.yml names those of the demo"), "{said}");
}

#[test]
fn without_a_catalogue_nothing_is_called_good() {
    let cluster = Cluster::builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalogue = folder.path().join("indexes.yml");
    for format in ["text", "json"] {
        let mut command = poolwatch();
        command.env("DATABASE_URL", cluster.url("postgres"));
        let output = command.args(["indexes", "--format", format]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}: {errors}");
        assert!(errors.contains("nothing says which indexes are expected"), "{format}: {errors}");
        assert!(errors.contains("--catalogue"), "{format}: {errors}");
        assert!(!output.stdout.is_empty(), "what is there is shown all the same");
    }
    std::fs::write(&catalogue, "indexes: []\n").unwrap();
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url("postgres"));
    let output = command.args(["indexes", "--catalogue"]).arg(&catalogue).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "a catalogue of nothing is a catalogue: {output:?}");
}

/// Its exit code, and its output.
fn run(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(cluster, arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn valid(cluster: &Cluster, name: &str) -> String {
    let sql = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')");
    cluster.sql(&sql).unwrap()
}

/// A session that keeps a transaction open, so that a build has to wait for it.
struct Writer {
    runtime: tokio::runtime::Runtime,
    connection: PgConnection,
}

impl Writer {
    fn begin(cluster: &Cluster, table: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = cluster.url("postgres");
        let mut connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
        runtime.block_on(connection.execute(AssertSqlSafe(lock))).unwrap();
        Self { runtime, connection }
    }

    fn commit(mut self) {
        self.runtime.block_on(self.connection.execute("COMMIT")).unwrap();
    }
}

/// Starts `--apply`, and returns once the server waits for the writer.
fn start_and_wait(cluster: &Cluster) -> (ChildProcess, Output) {
    let (process, output) = Output::of(&mut command(cluster, &["--apply"]));
    let waiting = "SELECT count(*) FROM pg_stat_progress_create_index \
                   WHERE phase = 'waiting for writers before build'";
    eventually(|| cluster.sql(waiting).unwrap() == "1");
    (process, output)
}

#[test]
fn the_nine_are_missing_then_built_then_present() {
    let cluster = bare();
    let (code, text) = run(&cluster, &[]);
    assert_eq!((code, text.matches("✗").count()), (Some(1), 9), "{text}");
    let (code, text) = run(&cluster, &["--apply"]);
    assert_eq!((code, text.matches(" built in ").count()), (Some(0), 9), "{text}");
    assert!(!text.contains('\x1b') && text.contains("9 of 9"), "{text}");
    let (code, text) = run(&cluster, &["--apply", "--format", "json"]);
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(0), "{text}");
    let states = page["expected"].as_array().unwrap();
    assert!(states.iter().all(|index| index["state"] == "present"), "{text}");
}

#[test]
fn an_invalid_index_is_built_anew_and_one_that_serves_as_well_is_enough() {
    let cluster = bare();
    cluster
        .sql(
            "CREATE INDEX idx_client_created ON matched_posts (client_id, created_at);
             UPDATE pg_index SET indisvalid = false
              WHERE indexrelid = 'idx_client_created'::regclass;
             CREATE INDEX mine ON ai_responses (score, id);
             CREATE INDEX spare ON ai_responses (score);",
        )
        .unwrap();
    let (code, text) = run(&cluster, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("invalid: a build that failed left it"), "{text}");
    assert!(text.contains("covered by mine") && text.contains("spare on ai_responses"), "{text}");
    let (code, text) = run(&cluster, &["--apply"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("idx_client_created dropped and rebuilt"), "{text}");
    assert_eq!(valid(&cluster, "idx_client_created"), "t");
    assert_eq!(valid(&cluster, "idx_responses_quality_score"), "");
}

#[test]
fn no_writer_waits_for_a_build() {
    let cluster = bare();
    // So that a build takes long enough to be noticed.
    let more = "INSERT INTO analytics_events (client_id, event_type)
                SELECT client_id, event_type FROM analytics_events, generate_series(1, 5)";
    cluster.sql(more).unwrap();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<JoinHandle<()>> = (0..4)
        .map(|_| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let url = cluster.url("postgres") + "&application_name=writer";
            thread::spawn(move || write(&url, &stop, &written))
        })
        .collect();
    eventually(|| written.load(Ordering::Relaxed) > 200);
    let before = written.load(Ordering::Relaxed);
    let (code, text) = run(&cluster, &["--apply"]);
    let during = written.load(Ordering::Relaxed) - before;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(code, Some(0), "{text}");
    // The server logs every wait for a lock that is longer than deadlock_timeout.
    let log = cluster.log();
    let waits: Vec<_> = log.lines().filter(|line| line.starts_with("writer|")).collect();
    let tables: Vec<_> = waits.iter().filter(|line| line.contains("Lock on relation")).collect();
    assert!(tables.is_empty(), "{tables:#?}");
    assert!(during > 50, "the writers wrote {during} rows meanwhile");
}

/// Inserts and updates, a transaction after the other.
fn write(url: &str, stop: &AtomicBool, written: &AtomicU64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        while !stop.load(Ordering::Relaxed) {
            let insert = "INSERT INTO analytics_events (client_id, event_type)
                          VALUES (1 + (random() * 49)::int, 'x');
                          INSERT INTO matched_posts (client_id, subreddit, title, body)
                          VALUES (1 + (random() * 49)::int, 's', 't', 'b');";
            connection.execute(insert).await.unwrap();
            written.fetch_add(1, Ordering::Relaxed);
        }
    });
}

#[test]
fn an_interrupted_build_says_what_is_left_and_a_second_run_finishes() {
    let cluster = bare();
    let writer = Writer::begin(&cluster, "matched_posts");
    let (mut process, output) = start_and_wait(&cluster);
    process.signal("INT").unwrap();
    let status = eventually(|| process.ended().unwrap());
    assert_eq!(status.code(), Some(1), "{}", output.text());
    eventually(|| output.text().contains("interrupted; "));
    assert!(output.text().contains("a second run"), "{}", output.text());
    let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%'";
    eventually(|| cluster.sql(left).unwrap() == "0");
    writer.commit();
    let (code, text) = run(&cluster, &["--apply"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("9 of 9"), "{text}");
}

#[test]
fn a_lost_connection_is_made_anew_and_the_work_finished() {
    let cluster = bare();
    let writer = Writer::begin(&cluster, "matched_posts");
    let (mut process, output) = start_and_wait(&cluster);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index";
    assert_eq!(cluster.sql(end).unwrap(), "t");
    eventually(|| output.text().contains("the connection was lost"));
    writer.commit();
    let status = eventually(|| process.ended().unwrap());
    assert_eq!(status.code(), Some(0), "{}", output.text());
    assert!(output.text().contains("dropped and rebuilt"), "{}", output.text());
    let (code, text) = run(&cluster, &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn who_may_not_is_told_and_nothing_else_is_harmed() {
    let cluster = bare();
    cluster.sql("CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch").unwrap();
    let mut command = command(&cluster, &["--apply"]);
    let output = command.env("DATABASE_URL", cluster.url_as("watch", "postgres")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("as the owner of the table"), "{text}");
}
