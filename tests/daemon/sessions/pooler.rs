//! An application that works through a pooler, and poolwatch with the same address beside it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::pgbouncer::bouncer::Bouncer;
use crate::support::{Daemon, eventually, poolwatch};

/// The application's work, and the part of it that failed.
#[derive(Default)]
struct Work {
    inserts: AtomicU32,
    failures: AtomicU32,
    ended: AtomicBool,
}

impl Work {
    /// Inserts rows until it is told to end, by the simple protocol, which every mode allows.
    async fn insert(&self, mut client: PgConnection) {
        while !self.ended.load(Relaxed) {
            let insert = sqlx::raw_sql("INSERT INTO done SELECT n FROM generate_series(1, 10) n");
            match client.execute(insert).await {
                Ok(_) => self.inserts.fetch_add(1, Relaxed),
                Err(_) => self.failures.fetch_add(1, Relaxed),
            };
        }
    }

    /// A statement that runs for longer than poolwatch allows its own.
    async fn sleep(&self, mut client: PgConnection) {
        if client.execute(sqlx::raw_sql("SELECT pg_sleep(3)")).await.is_err() {
            self.failures.fetch_add(1, Relaxed);
        }
    }
}

/// The settings of every server connection that the pooler has, each asked once.
async fn settings(bouncer: &Bouncer) -> Vec<String> {
    const ASK: &str = "SELECT string_agg(name || '=' || setting, E'\\n' ORDER BY name),
                              (SELECT string_agg(name, ',') FROM pg_prepared_statements),
                              (SELECT pg_sleep(0.3))::text
                         FROM pg_settings WHERE context <> 'internal' AND name !~ '^transaction_'";
    let one = async || {
        let mut client = bouncer.client("one", "app").await;
        let row = client.fetch_one(sqlx::raw_sql(ASK)).await.unwrap();
        let statements: Option<String> = row.try_get(1).unwrap();
        assert_eq!(statements, None, "somebody's prepared statements");
        row.try_get::<String, _>(0).unwrap()
    };
    let (first, second) = tokio::join!(one(), one());
    vec![first, second]
}

fn check(settings: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, settings).unwrap();
    let mut command = poolwatch();
    command.args(["check", "--web.listen-address=127.0.0.1:1", "--config.file"]).arg(file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Beside the daemon and `check`, and after them.
async fn undisturbed(bouncer: &Bouncer, case: &str) {
    let before = settings(bouncer).await;
    let work = Arc::new(Work::default());
    let task = |client| {
        let work = Arc::clone(&work);
        tokio::spawn(async move { work.insert(client).await })
    };
    let inserts = task(bouncer.client("one", "app").await);
    let (work_of_sleep, sleeper) = (Arc::clone(&work), bouncer.client("one", "app").await);
    let sleep = tokio::spawn(async move { work_of_sleep.sleep(sleeper).await });

    let url = bouncer.url("one", "app");
    let yaml = format!(
        "servers: {{primary: {{url: '{url}', statement_timeout: 1s, lock_timeout: 1s}}}}\n\
         pools: {{inferred: {{activity: {{server: primary}}}}}}\n"
    );
    let (daemon, report) = tokio::task::spawn_blocking(move || {
        let daemon = Daemon::with_settings(&yaml).start();
        eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
        let failing = |name: &str| daemon.value("poolwatch_source_up", &[("source", name)]);
        eventually(|| failing("primary/settings") == Some(0.0));
        (daemon, check(&format!("{yaml}workers: {{enabled: false}}\n")))
    })
    .await
    .unwrap();
    assert!(
        report.contains("✗ primary/address  the address leads to a pooler"),
        "{case}: {report}"
    );
    assert_eq!(report.matches('✗').count(), 1, "{case}: {report}");
    sleep.await.unwrap();
    let (status, log) = tokio::task::spawn_blocking(move || daemon.terminate()).await.unwrap();
    assert!(status.success() && !log.contains("panic"), "{case}: {log}");
    let is_warning = |line: &&str| line.contains("the address leads to a pooler");
    let warnings: Vec<_> = log.lines().filter(is_warning).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(" sources="), "{case}: {log}");

    let until = work.inserts.load(Relaxed) + 200;
    while work.inserts.load(Relaxed) < until && work.failures.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    work.ended.store(true, Relaxed);
    inserts.await.unwrap();
    assert_eq!(work.failures.load(Relaxed), 0, "{case}: of {:?} inserts", work.inserts);
    let after = settings(bouncer).await;
    assert!(after.iter().all(|one| before.contains(one)), "{case}: {before:#?}\n{after:#?}");
}

#[tokio::test]
async fn nothing_stays_in_the_sessions_of_a_pooler() {
    for mode in ["transaction", "statement"] {
        for passed_over in ["", "ignore_startup_parameters = options,extra_float_digits\n"] {
            let settings = format!("pool_mode = {mode}\n{passed_over}");
            for bouncer in Bouncer::of_each(&settings) {
                let case = format!("1.{} {mode} {passed_over}", bouncer.minor());
                let mut client = bouncer.client("one", "app").await;
                let create = "CREATE TABLE IF NOT EXISTS one.done (n int)";
                client.execute(sqlx::raw_sql(create)).await.unwrap();
                client.close().await.unwrap();
                undisturbed(&bouncer, &case).await;
            }
        }
    }
}

/// Its sessions are another's only later, and nothing is left for him either.
#[tokio::test]
async fn a_pooler_of_whole_sessions_is_told_of_too() {
    for bouncer in Bouncer::of_each("pool_mode = session\nserver_reset_query =\n") {
        let yaml = format!(
            "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n",
            bouncer.url("one", "app")
        );
        let before = settings(&bouncer).await;
        let report = tokio::task::spawn_blocking(move || check(&yaml)).await.unwrap();
        assert!(report.contains("the address leads to a pooler"), "{report}");
        assert_eq!(settings(&bouncer).await, before);
    }
}

/// What a client that asks for nothing in its start-up message finds in the session that it gets:
/// its name, and what the driver that poolwatch uses asks for.
fn found(bouncer: &Bouncer) -> String {
    const ASK: &str = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
        WHERE name IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone')\0";
    let mut socket = UnixStream::connect(bouncer.folder.join(".s.PGSQL.6432")).unwrap();
    let pairs = b"\0\x03\0\0user\0one\0database\0app\0\0";
    let framed =
        |body: &[u8]| [&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat();
    socket.write_all(&framed(pairs)).unwrap();
    let mut found = String::new();
    for sent in [None, Some(ASK)] {
        if let Some(ask) = sent {
            socket.write_all(&[b"Q", &*framed(ask.as_bytes())].concat()).unwrap();
        }
        loop {
            let mut head = [0; 5];
            socket.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; length as usize - 4];
            socket.read_exact(&mut body).unwrap();
            match head[0] {
                b'Z' => break,
                b'E' => panic!("{}", String::from_utf8_lossy(&body)),
                // A count of columns and the length of the first.
                b'D' => found = String::from_utf8(body.split_off(6)).unwrap(),
                _ => {}
            }
        }
    }
    found
}

/// The names of the settings that poolwatch or its driver would leave are looked at with nobody
/// else there, whose own settings would hide them.
#[test]
fn a_client_that_asks_for_nothing_finds_nothing_of_poolwatch() {
    for mode in ["transaction", "statement"] {
        for passed_over in ["", "ignore_startup_parameters = options,extra_float_digits\n"] {
            for bouncer in Bouncer::of_each(&format!("pool_mode = {mode}\n{passed_over}")) {
                let case = format!("1.{} {mode} {passed_over}", bouncer.minor());
                let before = found(&bouncer);
                assert!(before.contains("TimeZone=Asia/Kathmandu"), "{case}: {before}");
                let yaml =
                    format!("servers: {{primary: {{url: '{}'}}}}\n", bouncer.url("one", "app"));
                check(&format!("{yaml}workers: {{enabled: false}}\n"));
                assert_eq!(found(&bouncer), before, "{case}: after check");
                let daemon =
                    Daemon::with_settings(&yaml).variable("PGAPPNAME", "poolwatch").start();
                eventually(|| {
                    assert_eq!(found(&bouncer), before, "{case}: beside the daemon");
                    daemon.value("pg_up", &[]) == Some(1.0)
                });
                daemon.terminate();
                assert_eq!(found(&bouncer), before, "{case}: after the daemon");
            }
        }
    }
}
