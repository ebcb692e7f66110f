//! Connections: what makes one unfit, and how it is replaced.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use poolwatch_client::{AcquireError, PoolSettings, SharedPool};
use sqlx::Executor;
use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn a_statement_cut_short_closes_its_connection() {
    let pool = pool("cut-short", settings(1, 0));
    let mut checkout = pool.acquire().await.unwrap();
    let pid = backend(&mut checkout).await;
    let cut = timeout(Duration::from_millis(20), checkout.execute("SELECT pg_sleep(10)")).await;
    assert!(cut.is_err());
    drop(checkout);
    assert_eq!(pool.reading().totals.invalidated, Some(1));
    let mut checkout = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut checkout).await, pid);
    {
        let mut rows = sqlx::raw_sql("SELECT generate_series(1, 100000)").fetch(&mut checkout);
        assert!(rows.next().await.is_some());
    }
    assert_ne!(backend(&mut checkout).await, pid, "it can still be used by who has it");
    drop(checkout);
    assert_eq!(counts(&pool), (1, 0, 0, 0), "and what was read to its end comes back");
}

#[tokio::test]
async fn no_transaction_is_left_to_the_next() {
    let pool = pool("transactions", settings(1, 0));
    pool.acquire().await.unwrap().execute("CREATE TEMP TABLE kept (id int)").await.unwrap();
    let in_transaction = "SELECT count(*) FROM kept";
    for way in ["dropped", "by hand", "failed by hand", "raw", "committed"] {
        let mut checkout = pool.acquire().await.unwrap();
        match way {
            "dropped" => {
                let mut transaction = checkout.begin().await.unwrap();
                transaction.execute("INSERT INTO kept VALUES (1)").await.unwrap();
            }
            "by hand" => {
                checkout.execute("BEGIN").await.unwrap();
                checkout.execute("INSERT INTO kept VALUES (1)").await.unwrap();
            }
            "failed by hand" => {
                checkout.execute("start transaction").await.unwrap();
                assert!(checkout.execute("SELECT 1/0").await.is_err());
            }
            "raw" => {
                checkout.raw().execute("BEGIN; INSERT INTO kept VALUES (1)").await.unwrap();
            }
            _ => {
                let mut transaction = checkout.begin().await.unwrap();
                let mut inner = transaction.begin_nested().await.unwrap();
                inner.execute("INSERT INTO kept VALUES (2)").await.unwrap();
                drop(inner);
                sqlx::query("INSERT INTO kept VALUES (3)").execute(&mut transaction).await.unwrap();
                transaction.commit().await.unwrap();
            }
        }
        drop(checkout);
        let mut next = pool.acquire().await.unwrap();
        let kept: i64 = sqlx::query_scalar(in_transaction).fetch_one(&mut next).await.unwrap();
        assert_eq!(kept, i64::from(way == "committed"), "{way}");
        assert!(next.execute("VACUUM kept").await.is_ok(), "{way}: it cannot run in a transaction");
    }
    let reading = pool.reading();
    assert_eq!(reading.timings.commit.unwrap().count(), 1);
    assert_eq!((reading.totals.opened, reading.totals.invalidated), (Some(1), Some(0)));
    assert_eq!(reading.totals.query_errors, Some(1));
}

#[tokio::test]
async fn statements_are_timed_to_their_last_row() {
    let pool = pool("timed", settings(1, 0));
    let mut checkout = pool.acquire().await.unwrap();
    checkout.execute("SELECT pg_sleep(0.02)").await.unwrap();
    sqlx::query("SELECT 1").fetch_one(&mut checkout).await.unwrap();
    let rows: Vec<_> = sqlx::query("SELECT generate_series(1, 10)")
        .fetch(&mut checkout)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows.len(), 10);
    assert!(checkout.execute("SELEKT").await.is_err());
    drop(checkout.prepare(sqlx::SqlStr::from_static("SELECT 2")).await.unwrap());
    let reading = pool.reading();
    let query = reading.timings.query.unwrap();
    assert_eq!((query.count(), reading.totals.query_errors), (4, Some(1)));
    assert!((0.02..1.0).contains(&query.sum()), "{}", query.sum());
    assert!(figures(&pool).oldest_checkout.unwrap() >= 0.02);
}

#[tokio::test]
async fn a_connection_the_server_ended_is_replaced() {
    let pool = pool("ended", settings(3, 0));
    pool.warm(9).await.unwrap();
    assert_eq!(counts(&pool), (3, 0, 0, 0));
    let mut other = SharedPool::new("killer", options(), settings(1, 0)).acquire().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'ended'";
    other.execute(end).await.unwrap();
    let mut checkout = pool.acquire().await.unwrap();
    assert_eq!(counts(&pool), (0, 1, 0, 0), "one failed ping condemns all that are older");
    assert_eq!(pool.reading().totals.invalidated, Some(3));

    other.execute(end).await.unwrap();
    assert!(checkout.execute("SELECT 1").await.is_err());
    drop(checkout);
    assert_eq!(counts(&pool), (0, 0, 0, 0));
    assert_eq!(pool.reading().totals.invalidated, Some(4));
}

#[tokio::test]
async fn an_old_connection_is_replaced_when_it_is_taken() {
    let recycle = Some(Duration::from_millis(50));
    let pool = pool("recycled", PoolSettings { recycle, ..settings(1, 0) });
    let mut checkout = pool.acquire().await.unwrap();
    let pid = backend(&mut checkout).await;
    drop(checkout);
    let mut checkout = pool.acquire().await.unwrap();
    assert_eq!(backend(&mut checkout).await, pid);
    drop(checkout);
    sleep(Duration::from_millis(60)).await;
    let mut checkout = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut checkout).await, pid);
    assert_eq!(pool.reading().totals.invalidated, Some(0));
}

#[tokio::test]
async fn each_new_connection_is_set_up() {
    let statements = vec!["SET statement_timeout = '77ms'".to_owned()];
    let pool = pool("set-up", settings(1, 0)).on_connect(statements);
    let mut checkout = pool.acquire().await.unwrap();
    let set: String =
        sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut checkout).await.unwrap();
    assert_eq!(set, "77ms");
    assert!(checkout.server_version_num().unwrap() >= 130_000);

    let refusing =
        SharedPool::new("bad", options(), settings(1, 0)).on_connect(vec!["SELEKT".into()]);
    let refused = refusing.acquire().await.unwrap_err();
    assert!(refused.to_string().contains("SELEKT"), "{refused}");
    assert_eq!(
        (refusing.reading().totals.acquire_errors, counts(&refusing)),
        (Some(1), (0, 0, 0, 0))
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let _silent =
        std::os::unix::net::UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let options = PgConnectOptions::new_without_pgpass().socket(folder.path()).port(5432);
    let settings = PoolSettings { timeout: Duration::from_millis(100), ..settings(1, 0) };
    let pool = SharedPool::new("silent", options, settings);
    let refused = pool.acquire().await.unwrap_err();
    assert!(matches!(refused, AcquireError::Unanswered(_)), "{refused}");
    assert_eq!((pool.reading().totals.acquire_errors, counts(&pool)), (Some(1), (0, 0, 0, 0)));
}
