//! A server newer than any that was tested: what it lacks costs no more than itself.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use poolwatch::demo::Cluster;
use tempfile::TempDir;

use super::{read_all, servers};
use crate::support::{Daemon, eventually, poolwatch};

/// What is no longer there, each under another name.
const RENAMED: &str = "
SET allow_system_table_mods = on;
ALTER VIEW pg_stat_wal RENAME COLUMN wal_fpi TO whole_pages;
ALTER VIEW pg_stat_database RENAME COLUMN deadlocks TO embraces;
ALTER VIEW pg_stat_database RENAME COLUMN blk_read_time TO read_time;
ALTER VIEW pg_stat_user_tables RENAME COLUMN n_tup_hot_upd TO hot;
ALTER VIEW pg_stat_user_tables RENAME COLUMN last_vacuum TO vacuumed;
ALTER VIEW pg_stat_archiver RENAME TO pg_stat_archive;
ALTER FUNCTION pg_ls_waldir() RENAME TO pg_ls_segments;
ALTER FUNCTION mxid_age(xid) RENAME TO multixact_age";

/// What is made from it.
const LOST: [&str; 10] = [
    "pg_database_wraparound_age_datminmxid_seconds",
    "pg_stat_archiver_archived_count",
    "pg_stat_archiver_failed_count",
    "pg_stat_database_blk_read_time",
    "pg_stat_database_deadlocks",
    "pg_stat_user_tables_last_vacuum",
    "pg_stat_user_tables_n_tup_hot_upd",
    "pg_stat_wal_full_page_images_total",
    "pg_wal_segments",
    "pg_wal_size_bytes",
];

/// A server of the newest version, with a socket beside its own on which it calls itself 99.
pub(super) struct Newer {
    pub(super) cluster: Cluster,
    folder: TempDir,
}

impl Newer {
    pub(super) fn start() -> Self {
        let (_, binaries) = servers::all().last().unwrap();
        let builder = Cluster::builder().binaries(binaries);
        let builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
        let cluster = builder.start().unwrap();
        cluster.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher").unwrap();
        cluster
            .sql("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_buffercache")
            .unwrap();
        cluster
            .sql(
                "CREATE DATABASE other; CREATE TABLE post (id int);
                 INSERT INTO post SELECT generate_series(1, 10000);
                 CREATE INDEX failed ON post (id); VACUUM ANALYZE post;
                 UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'failed'::regclass",
            )
            .unwrap();
        cluster.sql_in("other", "CREATE TABLE other (id int)").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let server = socket(cluster.folder());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = UnixStream::connect(&server).unwrap();
                let (to_client, to_server) = (client.try_clone(), server.try_clone());
                thread::spawn(move || forward(client, to_server.unwrap(), |_| {}));
                thread::spawn(move || forward(server, to_client.unwrap(), call_99));
            }
        });
        Self { cluster, folder }
    }

    pub(super) fn url(&self) -> String {
        format!("postgresql:///postgres?host={}&user=watcher", self.folder.path().display())
    }

    pub(super) fn settings(&self) -> String {
        format!(
            "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
             sampling: {{server: 1s, tables: 1s, statements: 1s}}\n",
            self.url()
        )
    }

    /// What `poolwatch check` says of it.
    pub(super) fn check(&self) -> String {
        let file = self.folder.path().join("check.yml");
        std::fs::write(&file, self.settings()).unwrap();
        let mut command = poolwatch();
        command.args(["check", "--web.listen-address=127.0.0.1:1", "--config.file"]).arg(file);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join(".s.PGSQL.5432")
}

fn forward(mut from: UnixStream, mut to: UnixStream, change: impl Fn(&mut [u8])) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// The version has two digits before and after.
fn call_99(bytes: &mut [u8]) {
    let name = b"server_version\0";
    if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at + name.len()..][..2].copy_from_slice(b"99");
    }
}

#[tokio::test]
async fn what_a_newer_server_lacks_costs_no_more_than_itself() {
    let server = Newer::start();
    let (before, errors) = read_all(&server.url()).await;
    assert!(errors.is_empty(), "{errors:#?}");
    server.cluster.sql(RENAMED).unwrap();
    let (after, errors) = read_all(&server.url()).await;
    assert!(errors.is_empty(), "{errors:#?}");
    let lost: BTreeSet<_> = before.difference(&after).map(String::as_str).collect();
    assert_eq!(lost, BTreeSet::from(LOST));
    let (_, errors) = read_all(&server.cluster.url_as("watcher", "postgres")).await;
    assert_eq!(errors.len(), 6, "of a version that is tested nothing may be missing: {errors:#?}");
}

#[test]
fn what_a_newer_server_lacks_is_told_once_and_is_no_alert() {
    let server = Newer::start();
    server.cluster.sql(RENAMED).unwrap();
    let daemon = Daemon::with_settings(&server.settings()).start();
    let all_up = || {
        let metrics = daemon.metrics();
        let mut all = metrics.all("poolwatch_source_up", &[]);
        metrics.value("pg_up", &[]) == Some(1.0) && all.all(|source| source.value == 1.0)
    };
    eventually(|| daemon.output().contains("wal_fpi") && all_up());
    let reads = || daemon.value("pg_stat_wal_records_total", &[]);
    let before = reads();
    server.cluster.sql("INSERT INTO post VALUES (1)").unwrap();
    eventually(|| reads() > before);
    let (log, text) = (daemon.output(), server.check());
    for name in ["wal_fpi", "deadlocks", "pg_stat_archiver\\", "pg_ls_waldir", "mxid_age"] {
        let messages =
            log.lines().filter(|line| line.contains("does not exist") && line.contains(name));
        assert_eq!(messages.count(), 1, "{name}: {log}");
        assert!(text.contains(name.trim_end_matches('\\')), "{name}: {text}");
    }
    assert!(!text.contains('✗') && text.contains("! primary/stat_wal"), "{text}");
}
