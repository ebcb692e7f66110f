//! Every `PgBouncer` there is before a real server, with real clients waiting.

pub(crate) mod bouncer;

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use poolwatch::exposition::Chunk;
use poolwatch::metric::Family;
use poolwatch::reading::{Figures, GrowthLimit, Origin, Pool, Reading, Worker};
use poolwatch::sources::pgbouncer::{ConsoleError, Error, Pgbouncer};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use self::bouncer::Bouncer;

/// Reads until the figures are as expected.
async fn read_until(source: &mut Pgbouncer, holds: impl Fn(&Reading) -> bool) -> Reading {
    let deadline = Instant::now() + Duration::from_mins(3);
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
    let deadline = Instant::now() + Duration::from_mins(3);
    while let Err(error) = source.read().await {
        assert!(Instant::now() < deadline, "{}", chain(&error));
    }
}

fn worker(reading: &Reading, app: &str) -> Worker {
    let mut workers = reading.pools[0].workers.iter();
    workers.find(|worker| worker.app.as_deref() == Some(app)).cloned().unwrap_or_default()
}

fn pair(reading: &Reading, app: &str) -> Figures {
    worker(reading, app).figures
}

fn sum(pool: &Pool) -> Figures {
    Figures::sum(pool.workers.iter().map(|worker| &worker.figures))
}

fn text(reading: &Reading) -> String {
    String::from_utf8(Chunk::encode(&reading.families).plain().to_vec()).unwrap()
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
    for bouncer in Bouncer::of_each("") {
        let mut source = bouncer.open("stats");
        let mut held = vec![bouncer.holder("one", "app").await, bouncer.holder("one", "app").await];
        let other = bouncer.holder("two", "other").await;
        let resting = bouncer.holder("two", "other").await;
        resting.close().await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let mut client = bouncer.client("one", "app").await;
            waiting
                .spawn(async move { client.execute(sqlx::raw_sql("SELECT 1")).await.map(|_| ()) });
        }
        let reading = read_until(&mut source, |reading| {
            pair(reading, "app/one").pending == Some(3)
                && pair(reading, "other/two").checked_in == Some(1)
        })
        .await;

        let pool = &reading.pools[0];
        assert_eq!((pool.name.as_str(), pool.origin), ("bouncer", Origin::Pgbouncer));
        let server = pool.targets.iter().find(|target| target.role.as_deref() == Some("one"));
        let server = server.unwrap();
        assert_eq!(Some(Path::new(&server.host)), bouncer.folder.parent(), "{server:?}");
        assert_eq!((server.port, server.database.as_deref()), (5432, Some("postgres")));
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
}

#[tokio::test]
async fn waiting_is_timed_in_seconds_and_clients_are_counted_by_application() {
    for bouncer in Bouncer::of_each("") {
        let held = (bouncer.holder("one", "app").await, bouncer.holder("one", "app").await);
        let mut client = bouncer.client("one", "app").await;
        let waiting =
            tokio::spawn(
                async move { client.execute(sqlx::raw_sql("SELECT 1")).await.map(|_| ()) },
            );
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
}

#[tokio::test]
async fn a_paused_database_is_shown_and_reading_goes_on() {
    for bouncer in Bouncer::of_each("") {
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
}

#[tokio::test]
async fn a_user_without_the_right_is_told_the_setting() {
    for bouncer in Bouncer::of_each("") {
        let error = bouncer.open("one").read().await.unwrap_err();
        assert!(
            matches!(&error, Error::Read { source: ConsoleError::NotAllowed { .. }, .. }),
            "{error:?}"
        );
        let said = chain(&error);
        assert!(said.contains("set stats_users = one in pgbouncer.ini"), "{said}");
        let error = bouncer.open("stranger").read().await.unwrap_err();
        assert!(
            matches!(&error, Error::Read { source: ConsoleError::Refused { .. }, .. }),
            "{error:?}"
        );
        assert!(chain(&error).contains("list it in PgBouncer's auth_file"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_password_comes_from_its_file_and_is_never_told() {
    for bouncer in Bouncer::of_each("auth_type = scram-sha-256") {
        let file = bouncer.folder.join("password");
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
}

#[tokio::test]
async fn a_restart_costs_no_reading_and_an_outage_is_named() {
    for mut bouncer in Bouncer::of_each("") {
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
}

#[tokio::test]
async fn a_console_that_hangs_costs_no_more_than_the_timeout() {
    let mut bouncer = Bouncer::of_one("");
    let url = bouncer.url("stats", "pgbouncer");
    let mut source = Bouncer::open_with(&json!({ "url": url, "timeout": "1s" }));
    wait_for_reading(&mut source).await;
    bouncer.signal("STOP");
    for _ in 0..2 {
        let began = Instant::now();
        let error = chain(&source.read().await.unwrap_err());
        assert!(error.contains("no whole answer within 1s"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    bouncer.signal("CONT");
    wait_for_reading(&mut source).await;
}

#[tokio::test]
async fn one_connection_is_kept() {
    let bouncer = Bouncer::of_one("");
    let mut source = bouncer.open("stats");
    for _ in 0..5 {
        source.read().await.unwrap();
    }
    let log = fs::read_to_string(bouncer.folder.join("pgbouncer.log")).unwrap();
    assert_eq!(log.matches("login attempt: db=pgbouncer user=stats").count(), 1, "{log}");
}

#[tokio::test]
async fn every_figure_is_there_since_the_version_it_names() {
    for bouncer in Bouncer::of_each("") {
        let minor = bouncer.minor();
        let url = bouncer.url("stats", "pgbouncer");
        let pid_file = bouncer.folder.join("pgbouncer.pid");
        let mut source =
            Bouncer::open_with(&json!({ "url": url, "timeout": "20s", "pid_file": pid_file }));
        let _held = bouncer.holder("one", "app").await;
        let reading = source.read().await.unwrap();
        let there: Vec<_> = reading.families.iter().map(Family::name).collect();
        for family in Pgbouncer::families() {
            let since = family.help().split("since 1.").nth(1);
            let since = since.map(|since| since.trim_end_matches(").").parse::<u32>().unwrap());
            // Of a process without a limit there is no limit to show.
            if !family.name().ends_with("_max_bytes") && !family.name().ends_with("_max_fds") {
                let expected = since.is_none_or(|since| minor >= since);
                let name = family.name();
                assert_eq!(there.contains(&name), expected, "1.{minor} {name}");
            }
        }
    }
}

#[tokio::test]
async fn prepared_statements_and_logins_are_counted() {
    for bouncer in Bouncer::of_each("pool_mode = transaction").filter(|one| one.minor() >= 24) {
        let mut client = bouncer.client("one", "app").await;
        for number in 0..5 {
            let row = sqlx::query("SELECT $1::int4").bind(number).execute(&mut client).await;
            row.unwrap();
        }
        let text = text(&bouncer.open("stats").read().await.unwrap());
        let value = |name: &str| -> f64 {
            let start = format!("pgbouncer_stats_totals_{name}_total{{database=\"app\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap().parse().unwrap()
        };
        assert_eq!((value("client_parses"), value("server_parses")), (1.0, 1.0), "{text}");
        assert_eq!(value("binds"), 5.0, "{text}");
        if bouncer.minor() >= 26 {
            assert_eq!(value("client_logins"), 1.0, "{text}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_pairs_share_makes_each_of_them_full() {
    for bouncer in Bouncer::of_each("") {
        let mut source = bouncer.open("stats");
        let first = bouncer.holder("one", "shared").await;
        let reading = source.read().await.unwrap();
        assert_eq!(pair(&reading, "shared/one").utilization(), Some(0.5));
        let second = bouncer.holder("two", "shared").await;
        let mut client = bouncer.client("two", "shared").await;
        let waiting =
            tokio::spawn(
                async move { client.execute(sqlx::raw_sql("SELECT 1")).await.map(|_| ()) },
            );
        let waits = |reading: &Reading| pair(reading, "shared/two").pending == Some(1);
        let reading = read_until(&mut source, waits).await;
        for app in ["shared/one", "shared/two"] {
            let worker = worker(&reading, app);
            assert_eq!(worker.figures.utilization(), Some(1.0), "{worker:?}");
            assert_eq!(worker.growth_limit, Some(GrowthLimit::DatabaseLimit(2)), "{worker:?}");
        }
        drop((first, second));
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_a_limit_lets_rest_can_be_had_by_another_pair() {
    for bouncer in Bouncer::of_each("") {
        let mut source = bouncer.open("stats");
        for user in ["one", "two"] {
            bouncer.holder(user, "shared").await.close().await.unwrap();
        }
        let rests = |reading: &Reading| pair(reading, "shared/two").checked_in == Some(1);
        let reading = read_until(&mut source, rests).await;
        assert_eq!(pair(&reading, "shared/one").capacity(), Some(2));
        let _both = (bouncer.holder("one", "shared").await, bouncer.holder("one", "shared").await);
        let reading = source.read().await.unwrap();
        assert_eq!(pair(&reading, "shared/one").utilization(), Some(1.0));
        assert_eq!(pair(&reading, "shared/two").checked_in, Some(0));
    }
}

#[tokio::test]
async fn a_pause_of_all_databases_is_shown() {
    for bouncer in Bouncer::of_each("").filter(|one| one.minor() >= 19) {
        let mut source = bouncer.open("stats");
        let paused = |reading: &Reading| {
            let text = text(reading);
            text.lines().find_map(|line| line.strip_prefix("pgbouncer_paused ").map(str::to_owned))
        };
        bouncer.holder("one", "app").await.close().await.unwrap();
        let reading = source.read().await.unwrap();
        assert_eq!(
            (paused(&reading).as_deref(), worker(&reading, "app/one").growth_limit),
            (Some("0"), None)
        );
        bouncer.admin("PAUSE").await;
        let reading = source.read().await.unwrap();
        assert_eq!(paused(&reading).as_deref(), Some("1"));
        assert_eq!(worker(&reading, "app/one").growth_limit, Some(GrowthLimit::Paused));
        bouncer.admin("RESUME").await;
        assert_eq!(paused(&source.read().await.unwrap()).as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn clients_whose_server_is_not_there_wait_at_an_empty_pair() {
    for bouncer in Bouncer::of_each("") {
        let mut source = bouncer.open("stats");
        let options = bouncer.options("one", "broken");
        let client =
            tokio::spawn(async move { PgConnection::connect_with(&options).await.is_ok() });
        let waits = |reading: &Reading| pair(reading, "broken/one").pending == Some(1);
        let reading = read_until(&mut source, waits).await;
        let broken = worker(&reading, "broken/one");
        assert_eq!((broken.figures.checked_in, broken.figures.checked_out), (Some(0), Some(0)));
        assert_eq!(broken.growth_limit, None);
        client.abort();
    }
}

#[tokio::test]
async fn a_process_that_cannot_be_seen_is_told_of() {
    let bouncer = Bouncer::of_one("");
    let url = bouncer.url("stats", "pgbouncer");
    let settings = json!({ "url": url, "timeout": "20s", "pid_file": "/nowhere/pgbouncer.pid" });
    let reading = Bouncer::open_with(&settings).read().await.unwrap();
    assert!(reading.hints[0].contains("/nowhere/pgbouncer.pid"), "{:?}", reading.hints);
    assert!(!text(&reading).contains("pgbouncer_process_"));
}
