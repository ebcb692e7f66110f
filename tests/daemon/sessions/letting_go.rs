//! `DROP DATABASE` while poolwatch watches its server.

use poolwatch::demo::Cluster;
use poolwatch::postgres::{Settings, Texts};
use sqlx::{Executor as _, Row as _};

use crate::support::{Daemon, eventually};

const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
                       WHERE application_name = 'poolwatch' AND datname = 'shop'";

fn shop(cluster: &Cluster) {
    cluster.sql("CREATE DATABASE shop").unwrap();
    cluster.sql_in("shop", "CREATE TABLE sold (id int PRIMARY KEY)").unwrap();
}

#[test]
fn a_database_that_is_only_visited_can_be_dropped() {
    let cluster = Cluster::builder().start().unwrap();
    let url = cluster.url("postgres");
    let settings = format!(
        "servers: {{primary: {{url: '{url}'}}}}\n\
         sampling: {{tables: 1s}}\ncollectors: {{other_databases: {{interval: 1s}}}}\n"
    );
    let daemon = Daemon::with_settings(&settings).start();
    for _ in 0..5 {
        shop(&cluster);
        eventually(|| {
            daemon.get("/metrics").text().contains("datname=\"shop\",schemaname=\"public\"")
        });
        // Without FORCE, which would end sessions.
        cluster.sql("DROP DATABASE shop").unwrap();
        eventually(|| !daemon.get("/metrics").text().contains("datname=\"shop\",schemaname"));
    }
    let kept = "SELECT string_agg(DISTINCT datname, ',') FROM pg_stat_activity
                 WHERE application_name = 'poolwatch'";
    eventually(|| cluster.sql(kept).unwrap() == "postgres");
}

/// `DROP DATABASE` waits five seconds for sessions to end, however many tables there are to be read.
#[tokio::test]
async fn no_session_stays_for_long_in_a_database_that_is_only_visited() {
    let cluster = Cluster::builder().start().unwrap();
    shop(&cluster);
    let url = cluster.url("postgres").into();
    let minute = std::time::Duration::from_mins(1);
    let settings = Settings { url, statement_timeout: minute, ..Settings::default() };
    let visit = settings.open("primary").unwrap().other_database("shop", Texts::Converted);
    let ask = async || {
        let sql = "SELECT pg_backend_pid(), current_setting('statement_timeout')";
        let mut session = visit.acquire().await.unwrap();
        let row = session.fetch_one(sqlx::query(sql)).await.unwrap();
        (row.get::<i32, _>(0), row.get::<String, _>(1))
    };
    let (first, limit) = ask().await;
    assert_eq!(limit, "4s");
    let renewed = async { while ask().await.0 == first {} };
    tokio::time::timeout(minute, renewed).await.unwrap();
    visit.close().await;
}

#[test]
fn a_database_that_is_taken_out_of_the_settings_can_be_dropped() {
    let cluster = Cluster::builder().start().unwrap();
    shop(&cluster);
    let one = |name: &str, database: &str| format!("{name}: {{url: '{}'}}", cluster.url(database));
    let (app, shop) = (one("app", "postgres"), one("shop", "shop"));
    let both = format!(
        "servers: {{{app}, {shop}}}\ncollectors: {{other_databases: {{enabled: false}}}}\n"
    );
    let mut daemon = Daemon::with_settings(&both).start();
    eventually(|| cluster.sql(OTHERS).unwrap() == "2");
    daemon.rewrite_settings(&both.replace(&shop, ""));
    daemon.signal("HUP");
    eventually(|| cluster.sql(OTHERS).unwrap() == "0");
    cluster.sql("DROP DATABASE shop").unwrap();
    assert_eq!(daemon.value("pg_up", &[]), Some(1.0));
}
