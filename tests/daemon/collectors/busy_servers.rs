//! A primary and its replica, busy with something for every view to show.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

/// How long something may take to appear.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The servers, and the sessions that keep them busy.
pub(super) struct BusyServers {
    // Ended first, for they keep the servers from stopping.
    sessions: Vec<Session>,
    pub(super) replica: Cluster,
    pub(super) primary: Cluster,
}

/// A `psql` that is ended when dropped.
pub(super) struct Session {
    child: Child,
    // Held open, for a `psql` ends with its input.
    _input: ChildStdin,
}

const SETTINGS: &[(&str, &str)] = &[
    ("shared_preload_libraries", "pg_stat_statements"),
    ("wal_level", "logical"),
    ("max_prepared_transactions", "5"),
    ("max_slot_wal_keep_size", "256MB"),
    ("archive_mode", "on"),
    ("archive_command", "test -e failed_once || { touch failed_once; false; }"),
    ("track_io_timing", "on"),
    ("autovacuum_naptime", "1s"),
    // Two are at a slow vacuum.
    ("autovacuum_max_workers", "5"),
    ("max_worker_processes", "20"),
];

const OBJECTS: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pg_buffercache;
CREATE TABLE post (id serial PRIMARY KEY, author int, title text);
INSERT INTO post (author, title) SELECT n % 10, repeat('x', 50) FROM generate_series(1, 5000) n;
CREATE INDEX post_author ON post (author);
CREATE INDEX post_title ON post (title);
UPDATE post SET title = 'y' WHERE id % 3 = 0;
DELETE FROM post WHERE id % 7 = 0;
VACUUM ANALYZE post;
SELECT count(*) FROM post WHERE author = 3;
SELECT * FROM post WHERE id = 5;
CREATE TABLE watched (n int) WITH (autovacuum_vacuum_threshold = 1,
    autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_threshold = 1,
    autovacuum_analyze_scale_factor = 0);
INSERT INTO watched SELECT generate_series(1, 1000);
DELETE FROM watched WHERE n % 2 = 0;
CREATE TABLE slow_vacuum (n int, filler text) WITH (autovacuum_vacuum_threshold = 1,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,
    autovacuum_vacuum_cost_limit = 1, fillfactor = 10);
INSERT INTO slow_vacuum SELECT n, repeat('x', 500) FROM generate_series(1, 3000) n;
DELETE FROM slow_vacuum WHERE n % 2 = 0;
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.other_vacuum (LIKE slow_vacuum) WITH (autovacuum_vacuum_threshold = 1,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,
    autovacuum_vacuum_cost_limit = 1, fillfactor = 10);
INSERT INTO elsewhere.other_vacuum SELECT n, repeat('x', 500) FROM generate_series(1, 3000) n;
DELETE FROM elsewhere.other_vacuum WHERE n % 2 = 0;
CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_setting('slow.enabled', true) = 'on' THEN PERFORM pg_sleep(0.5); END IF;
    RETURN n;
END $$;
CREATE TABLE slow_index (n int);
INSERT INTO slow_index SELECT generate_series(1, 1000);
CREATE TABLE slow_analyze (n int);
INSERT INTO slow_analyze SELECT generate_series(1, 1000);
CREATE INDEX ON slow_analyze (slow(n));
CREATE TABLE slow_cluster (n int);
INSERT INTO slow_cluster SELECT generate_series(1, 1000);
CREATE INDEX ON slow_cluster (slow(n));
CREATE TABLE slow_repack (LIKE slow_cluster);
INSERT INTO slow_repack SELECT generate_series(1, 1000);
CREATE INDEX ON slow_repack (slow(n));
CREATE TABLE copied (n int);
CREATE TABLE locked (n int);
CREATE TABLE numbered (n int);
CREATE SEQUENCE short_lived MAXVALUE 10;
SELECT nextval('short_lived');
CREATE PUBLICATION everything FOR TABLE numbered;
SELECT pg_create_logical_replication_slot('subscribed', 'pgoutput');
SELECT pg_create_physical_replication_slot('repmgr_slot_1', true);
BEGIN;
INSERT INTO numbered VALUES (1);
PREPARE TRANSACTION 'forgotten';
SELECT pg_switch_wal();
CHECKPOINT;
";

/// A slot of which a standby cannot have what its reader has yet to read.
const BEHIND: &str = "
SELECT pg_create_logical_replication_slot('behind', 'pgoutput', failover => true)";

/// Members of a multitransaction, and a statement with plans of both kinds.
const OBJECTS_OF_19: &str = "
CREATE TABLE shared (n int);
INSERT INTO shared VALUES (1);
BEGIN;
SELECT * FROM shared FOR SHARE;
SAVEPOINT deeper;
SELECT * FROM shared FOR UPDATE;
COMMIT;
PREPARE planned AS SELECT count(*) FROM post WHERE id = $1;
EXECUTE planned (1);
SET plan_cache_mode = force_generic_plan;
EXECUTE planned (2);
EXECUTE planned (3);
RESET plan_cache_mode;
";

impl BusyServers {
    pub(super) fn start(binaries: &Path, major: u32) -> Self {
        let mut primary = cluster(binaries);
        primary.sql("CREATE DATABASE app").unwrap();
        primary.sql("CREATE DATABASE subscriber").unwrap();
        if major >= 19 {
            // Before there is a transaction that it would wait for.
            primary.sql_in("app", BEHIND).unwrap();
        }
        primary.sql_in("app", OBJECTS).unwrap();
        if major >= 19 {
            primary.sql_in("app", OBJECTS_OF_19).unwrap();
        }
        // It leaves an invalid index behind.
        let refused = "CREATE UNIQUE INDEX CONCURRENTLY post_invalid ON post (author)";
        assert!(primary.sql_in("app", refused).is_err());
        let replica = replica_of(&mut primary, binaries);
        subscribe(&primary);
        let sessions = busy(&primary, binaries, major);
        let busy = Self { sessions, replica, primary };
        busy.wait_for_everything(major);
        busy
    }

    fn wait_for_everything(&self, major: u32) {
        let mut wanted = vec![
            "SELECT 1 FROM pg_stat_user_tables WHERE last_autovacuum IS NOT NULL \
                AND last_autoanalyze IS NOT NULL",
            "SELECT 1 FROM pg_stat_archiver WHERE archived_count > 0",
            "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 'slow_vacuum'::regclass",
            "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 'elsewhere.other_vacuum'::regclass",
            "SELECT 1 FROM pg_stat_progress_create_index",
            "SELECT 1 FROM pg_stat_progress_analyze WHERE relid = 'slow_analyze'::regclass",
            "SELECT 1 FROM pg_stat_progress_cluster",
            "SELECT 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0",
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lag IS NOT NULL",
            "SELECT 1 FROM pg_stat_subscription WHERE latest_end_time IS NOT NULL",
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' HAVING count(*) >= 2",
        ];
        if major >= 14 {
            wanted.push("SELECT 1 FROM pg_stat_progress_copy");
        }
        if major >= 19 {
            wanted.push("SELECT 1 FROM pg_stat_progress_repack WHERE command = 'REPACK'");
        }
        for condition in wanted {
            // The replica's lag is only told while something is written.
            let ask = || {
                self.primary.sql_in("app", "INSERT INTO numbered VALUES (2)").unwrap();
                self.primary.sql_in("app", condition).unwrap()
            };
            let busy = "SELECT pid, state, wait_event, left(query, 90) FROM pg_stat_activity";
            let deadline = Instant::now() + TIMEOUT;
            while ask().is_empty() {
                let late = Instant::now() >= deadline;
                assert!(!late, "never came true: {condition}\n{}", self.primary.sql(busy).unwrap());
                sleep(Duration::from_millis(50));
            }
        }
        let received = "SELECT 1 FROM pg_stat_wal_receiver WHERE latest_end_time IS NOT NULL";
        wait(received, || !self.replica.sql(received).unwrap().is_empty());
        if major >= 19 {
            let skipped =
                "SELECT 1 FROM pg_replication_slots WHERE slotsync_skip_reason IS NOT NULL";
            wait(skipped, || !self.replica.sql(skipped).unwrap().is_empty());
        }
    }
}

impl Drop for BusyServers {
    fn drop(&mut self) {
        self.sessions.clear();
    }
}

pub(super) fn wait(condition: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {condition}");
        sleep(Duration::from_millis(50));
    }
}

fn cluster(binaries: &Path) -> Cluster {
    let builder = SETTINGS
        .iter()
        .fold(Cluster::builder(), |builder, (name, value)| builder.setting(name, value));
    builder.binaries(binaries).start().unwrap()
}

/// A second server with a copy of the first one's folder, following it.
pub(crate) fn replica_of(primary: &mut Cluster, binaries: &Path) -> Cluster {
    let mut replica = Cluster::builder().binaries(binaries).start().unwrap();
    replica.stop(Stop::Fast).unwrap();
    primary.stop(Stop::Fast).unwrap();
    fs::remove_dir_all(data(&replica)).unwrap();
    let copied = Command::new("cp").arg("-a").arg(data(primary)).arg(data(&replica)).status();
    assert!(copied.unwrap().success());
    let is_behind = data(&replica).join("pg_replslot/behind").exists();
    if is_behind {
        // Without what they keep, it has not what that slot needs.
        for slot in ["behind", "subscribed"] {
            fs::remove_dir_all(data(&replica).join("pg_replslot").join(slot)).unwrap();
        }
    }
    let owner = data(primary);
    let marker = data(&replica).join("standby.signal");
    fs::write(&marker, "").unwrap();
    let given = Command::new("chown").arg("--reference").arg(owner).arg(marker).status();
    assert!(given.unwrap().success());
    let conninfo = format!("host={} user=postgres dbname=app", primary.folder().display());
    let mut settings = vec![
        ("unix_socket_directories", replica.folder().display().to_string()),
        ("primary_conninfo", conninfo),
        ("primary_slot_name", "repmgr_slot_1".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("hot_standby_feedback", "on".to_owned()),
    ];
    if is_behind {
        settings.push(("sync_replication_slots", "on".to_owned()));
    }
    let quoted =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.replace('\'', "''")));
    replica.configure(&quoted.collect::<Vec<_>>()).unwrap();
    primary.start().unwrap();
    replica.start().unwrap();
    replica
}

fn data(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("data")
}

fn subscribe(primary: &Cluster) {
    let host = primary.folder().display();
    let sql = format!(
        "CREATE TABLE numbered (n int);
         CREATE SUBSCRIPTION everything CONNECTION 'host={host} user=postgres dbname=app'
             PUBLICATION everything WITH (create_slot = false, slot_name = 'subscribed')"
    );
    primary.sql_in("subscriber", &sql).unwrap();
}

fn busy(primary: &Cluster, binaries: &Path, major: u32) -> Vec<Session> {
    let psql = binaries.join("psql");
    let open = |url: &str, sql: &str| Session::open(&psql, url, sql);
    let app = primary.url("app");
    primary.sql("ALTER SYSTEM SET max_connections = 150").unwrap();
    primary.sql("SELECT pg_reload_conf()").unwrap();
    primary.sql_in("subscriber", "SELECT pg_stat_reset()").unwrap();
    let backup = if major < 15 {
        "BASE_BACKUP PROGRESS MAX_RATE 32;"
    } else {
        "BASE_BACKUP (PROGRESS, MAX_RATE 32);"
    };
    let first = open(&app, "BEGIN; LOCK TABLE locked; SELECT pg_backend_pid();");
    wait("the lock is held", || {
        let held = "SELECT 1 FROM pg_locks WHERE relation = 'locked'::regclass AND granted";
        !primary.sql_in("app", held).unwrap().is_empty()
    });
    let mut sessions = vec![
        first,
        open(&app, "SELECT * FROM locked;"),
        open(&app, "BEGIN; LOCK TABLE locked;"),
        open(&app, "SET slow.enabled = on; CREATE INDEX ON slow_index (slow(n));"),
        open(&app, "SET slow.enabled = on; ANALYZE slow_analyze;"),
        open(&app, "SET slow.enabled = on; VACUUM FULL slow_cluster;"),
        open(&app, "COPY copied FROM STDIN;\n1"),
        open(&format!("{app}&replication=true"), backup),
    ];
    if major >= 19 {
        sessions.push(open(&app, "SET slow.enabled = on; REPACK slow_repack;"));
    }
    sessions
}

impl Session {
    /// A session that begins with this and goes on until it is dropped.
    pub(super) fn open(psql: &PathBuf, url: &str, sql: &str) -> Self {
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-d", url]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{sql}").unwrap();
        Self { child, _input: input }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
