//! A real `PgBouncer` before a real server, with real clients waiting.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use poolwatch::demo::{Cluster, Process};
use poolwatch::exposition::Chunk;
use poolwatch::reading::{Figures, Origin, Pool, Reading};
use poolwatch::sources::pgbouncer::{Error, Fault, Pgbouncer, Settings};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

/// A `PgBouncer` on a Unix socket in the cluster's folder.
struct Bouncer {
    cluster: Cluster,
    process: Option<Process>,
}

impl Bouncer {
    /// Databases `app`, of 2 servers a user, and `other`, of 3 and a reserve of 1.
    fn start(settings: &str) -> Self {
        let cluster = Cluster::builder().start().unwrap();
        cluster.sql("CREATE ROLE one LOGIN; CREATE ROLE two LOGIN").unwrap();
        let folder = cluster.folder().display().to_string();
        let users = "\"one\" \"\"\n\"two\" \"\"\n\"stats\" \"s3cret\"\n\"admin\" \"\"\n";
        fs::write(format!("{folder}/users.txt"), users).unwrap();
        let ini = format!(
            "[databases]\n\
             app = host={folder} dbname=postgres pool_size=2\n\
             other = host={folder} dbname=postgres pool_size=3 reserve_pool=1\n\
             [pgbouncer]\n\
             listen_port = 6432\nlisten_addr =\nunix_socket_dir = {folder}\n\
             auth_type = trust\nauth_file = {folder}/users.txt\n\
             stats_users = stats\nadmin_users = admin\nreserve_pool_timeout = 60\n{settings}\n"
        );
        fs::write(format!("{folder}/pgbouncer.ini"), ini).unwrap();
        let mut bouncer = Self { cluster, process: None };
        bouncer.run();
        bouncer
    }

    fn run(&mut self) {
        let owner = fs::metadata(self.cluster.folder()).unwrap();
        let log = fs::File::create(self.cluster.folder().join("pgbouncer.log")).unwrap();
        let mut command = Command::new(program());
        command.arg(self.cluster.folder().join("pgbouncer.ini"));
        command.stdout(Stdio::null()).stderr(log).uid(owner.uid()).gid(owner.gid());
        self.process = Some(Process::start(&mut command).unwrap());
        let socket = self.cluster.folder().join(".s.PGSQL.6432");
        wait_for("PgBouncer's socket", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal("KILL").unwrap();
        process.wait().unwrap();
    }

    fn signal(&mut self, name: &str) {
        self.process.as_mut().unwrap().signal(name).unwrap();
    }

    fn url(&self, user: &str, database: &str) -> String {
        let folder = self.cluster.folder().display();
        format!("postgresql:///{database}?host={folder}&port=6432&user={user}")
    }

    fn open(&self, user: &str) -> Pgbouncer {
        Self::open_with(&json!({ "url": self.url(user, "pgbouncer"), "timeout": "20s" }))
    }

    fn open_with(settings: &serde_json::Value) -> Pgbouncer {
        serde_json::from_value::<Settings>(settings.clone()).unwrap().open("bouncer").unwrap()
    }

    /// A client as its application opens it.
    async fn client(&self, user: &str, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url(user, database).parse().unwrap();
        let options = options.extra_float_digits(None).application_name("shop");
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// A client that has a server until it is dropped: the pool mode is session.
    async fn holder(&self, user: &str, database: &str) -> PgConnection {
        let mut client = self.client(user, database).await;
        client.execute(sqlx::raw_sql("SELECT 1")).await.unwrap();
        client
    }

    async fn admin(&self, command: &'static str) {
        let mut console = self.client("admin", "pgbouncer").await;
        console.execute(sqlx::raw_sql(command)).await.unwrap();
    }
}

fn program() -> PathBuf {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("PgBouncer is installed: apt-get install pgbouncer")
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads until the figures are as expected.
async fn read_until(source: &mut Pgbouncer, holds: impl Fn(&Reading) -> bool) -> Reading {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reading = source.read().await.unwrap();
        if holds(&reading) {
            return reading;
        }
        assert!(Instant::now() < deadline, "{:?}", reading.pools);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for_reading(source: &mut Pgbouncer) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = source.read().await {
        assert!(Instant::now() < deadline, "{}", chain(&error));
    }
}

fn pair(reading: &Reading, app: &str) -> Figures {
    let worker = reading.pools[0].workers.iter().find(|worker| worker.app.as_deref() == Some(app));
    worker.map(|worker| worker.figures).unwrap_or_default()
}

fn sum(pool: &Pool) -> Figures {
    Figures::sum(pool.workers.iter().map(|worker| &worker.figures))
}

fn text(reading: &Reading) -> String {
    String::from_utf8(Chunk::encode(&reading.families).text().to_vec()).unwrap()
}

fn chain(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(": ");
        said.push_str(&cause.to_string());
        source = cause.source();
    }
    said
}

#[tokio::test]
async fn the_clients_that_hold_and_wait_are_counted() {
    let bouncer = Bouncer::start("");
    let mut source = bouncer.open("stats");
    let mut held = vec![bouncer.holder("one", "app").await, bouncer.holder("one", "app").await];
    let other = bouncer.holder("two", "other").await;
    let resting = bouncer.holder("two", "other").await;
    resting.close().await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut client = bouncer.client("one", "app").await;
        waiting.spawn(async move { client.execute(sqlx::raw_sql("SELECT 1")).await.map(|_| ()) });
    }
    let reading = read_until(&mut source, |reading| {
        pair(reading, "app/one").pending == Some(3)
            && pair(reading, "other/two").checked_in == Some(1)
    })
    .await;

    let pool = &reading.pools[0];
    assert_eq!((pool.name.as_str(), pool.origin), ("bouncer", Origin::Pgbouncer));
    let full = pair(&reading, "app/one");
    assert_eq!((full.size, full.checked_out, full.checked_in), (Some(2), Some(2), Some(0)));
    assert_eq!((full.utilization(), full.overflow), (Some(1.0), Some(0)));
    let roomy = pair(&reading, "other/two");
    assert_eq!((roomy.capacity(), roomy.checked_out), (Some(4), Some(1)));
    let all = sum(pool);
    assert_eq!((all.utilization(), all.pending), (Some(0.5), Some(3)));
    assert_eq!(pool.workers.len(), 2, "the console itself is no pool: {pool:?}");

    let text = text(&reading);
    for line in [
        "pgbouncer_up 1",
        "pgbouncer_pools_client_waiting_connections{database=\"app\",user=\"one\"} 3",
        "pgbouncer_pools_server_active_connections{database=\"app\",user=\"one\"} 2",
        "pgbouncer_pools_server_active_connections{database=\"other\",user=\"two\"} 1",
        "pgbouncer_config_max_client_connections 100",
        "pgbouncer_config_max_user_connections 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert!(text.contains("pgbouncer_version_info{version=\"PgBouncer 1."), "{text}");
    assert!(text.contains("databases_reserve_pool{name=\"other\""), "{text}");
    drop((held.split_off(0), other));
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
    read_until(&mut source, |reading| sum(&reading.pools[0]).pending == Some(0)).await;
}

#[tokio::test]
async fn waiting_is_timed_in_seconds_and_clients_are_counted_by_application() {
    let bouncer = Bouncer::start("");
    let held = (bouncer.holder("one", "app").await, bouncer.holder("one", "app").await);
    let mut client = bouncer.client("one", "app").await;
    let waiting =
        tokio::spawn(async move { client.execute(sqlx::raw_sql("SELECT 1")).await.map(|_| ()) });
    let mut source = bouncer.open("stats");
    let maxwait = "pgbouncer_pools_client_maxwait_seconds{database=\"app\",user=\"one\"} ";
    let value = |text: &str, start: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(start));
        line.map_or(0.0, |line| line[start.len()..].parse().unwrap())
    };
    let waited = |reading: &Reading| value(&text(reading), maxwait) > 0.1;
    let reading = read_until(&mut source, waited).await;
    assert!(value(&text(&reading), maxwait) < 20.0, "microseconds are not seconds");
    // The seldom views were read first: a new source has seen all three clients by now.
    let reading = bouncer.open("stats").read().await.unwrap();
    let shop =
        "pgbouncer_client_connections{database=\"app\",user=\"one\",application_name=\"shop\",";
    let text = text(&reading);
    assert!(text.contains(&format!("{shop}state=\"waiting\"}} 1")), "{text}");
    drop(held);
    waiting.await.unwrap().unwrap();
    let total = "pgbouncer_stats_totals_client_wait_seconds_total{database=\"app\"} ";
    let reading = read_until(&mut source, |reading| value(&self::text(reading), total) > 0.1);
    assert!(value(&self::text(&reading.await), total) < 20.0);
}

#[tokio::test]
async fn a_paused_database_is_shown_and_reading_goes_on() {
    let bouncer = Bouncer::start("");
    let mut source = bouncer.open("stats");
    bouncer.holder("one", "app").await.close().await.unwrap();
    bouncer.admin("PAUSE app").await;
    let paused = "pgbouncer_databases_paused{name=\"app\"";
    let is = |reading: &Reading, value: &str| {
        let text = text(reading);
        text.lines().any(|line| line.starts_with(paused) && line.ends_with(value))
    };
    assert!(is(&source.read().await.unwrap(), " 1"));
    bouncer.admin("RESUME app").await;
    assert!(is(&source.read().await.unwrap(), " 0"));
}

#[tokio::test]
async fn a_user_without_the_right_is_told_the_setting() {
    let bouncer = Bouncer::start("");
    let error = bouncer.open("one").read().await.unwrap_err();
    assert!(matches!(&error, Error::Read { source: Fault::NotAllowed { .. }, .. }), "{error:?}");
    let said = chain(&error);
    assert!(said.contains("set stats_users = one in pgbouncer.ini"), "{said}");
    let error = bouncer.open("stranger").read().await.unwrap_err();
    assert!(matches!(&error, Error::Read { source: Fault::Refused { .. }, .. }), "{error:?}");
    assert!(chain(&error).contains("list it in PgBouncer's auth_file"), "{}", chain(&error));
}

#[tokio::test]
async fn a_password_comes_from_its_file_and_is_never_told() {
    let bouncer = Bouncer::start("auth_type = scram-sha-256");
    let file = bouncer.cluster.folder().join("password");
    let url = bouncer.url("stats", "pgbouncer");
    let mut source =
        Bouncer::open_with(&json!({ "url": url, "password_file": file, "timeout": "20s" }));
    let error = chain(&source.read().await.unwrap_err());
    assert!(error.contains("cannot read the password in") && error.contains("No such file"));
    fs::write(&file, "wr0ng").unwrap();
    let error = chain(&source.read().await.unwrap_err());
    assert!(error.contains("password is refused") && !error.contains("wr0ng"), "{error}");
    fs::write(&file, "s3cret\n").unwrap();
    assert_eq!(source.read().await.unwrap().pools.len(), 1);
}

#[tokio::test]
async fn a_restart_costs_no_reading_and_an_outage_is_named() {
    let mut bouncer = Bouncer::start("");
    let mut source = bouncer.open("stats");
    source.read().await.unwrap();
    bouncer.stop();
    bouncer.run();
    source.read().await.unwrap();
    bouncer.stop();
    let error = chain(&source.read().await.unwrap_err());
    assert!(error.starts_with("cannot read PgBouncer at /tmp/"), "{error}");
    assert!(error.contains("cannot connect"), "{error}");
    bouncer.run();
    source.read().await.unwrap();
}

#[tokio::test]
async fn a_console_that_hangs_costs_no_more_than_the_timeout() {
    let mut bouncer = Bouncer::start("");
    let url = bouncer.url("stats", "pgbouncer");
    let mut source = Bouncer::open_with(&json!({ "url": url, "timeout": "1s" }));
    wait_for_reading(&mut source).await;
    bouncer.signal("STOP");
    for _ in 0..2 {
        let began = Instant::now();
        let error = chain(&source.read().await.unwrap_err());
        assert!(error.contains("no whole answer within 1s"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    bouncer.signal("CONT");
    wait_for_reading(&mut source).await;
}

#[tokio::test]
async fn one_connection_is_kept() {
    let bouncer = Bouncer::start("");
    let mut source = bouncer.open("stats");
    for _ in 0..5 {
        source.read().await.unwrap();
    }
    let log = fs::read_to_string(bouncer.cluster.folder().join("pgbouncer.log")).unwrap();
    assert_eq!(log.matches("login attempt: db=pgbouncer user=stats").count(), 1, "{log}");
}
