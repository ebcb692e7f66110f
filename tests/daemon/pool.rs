//! The pool keeps `QueuePool`'s rules on a real server.

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt};
use poolwatch::demo::Cluster;
use poolwatch::reading::{Figures, MaxOverflow};
use poolwatch_client::{AcquireError, Checkout, PoolSettings, SharedPool};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};
use tokio::time::{sleep, timeout};

/// One server for all tests here; it goes when the process does.
pub(crate) static CLUSTER: LazyLock<Cluster> =
    LazyLock::new(|| Cluster::builder().setting("max_connections", "300").start().unwrap());

fn options() -> PgConnectOptions {
    CLUSTER.url("postgres").parse().unwrap()
}

fn settings(size: u32, more: u64) -> PoolSettings {
    PoolSettings {
        size,
        max_overflow: MaxOverflow::Limited(more),
        timeout: Duration::from_secs(5),
        ..PoolSettings::default()
    }
}

fn pool(name: &str, settings: PoolSettings) -> SharedPool {
    SharedPool::new(name, options().application_name(name), settings)
}

fn figures(pool: &SharedPool) -> Figures {
    pool.reading().figures
}

/// checked in, checked out, overflow, pending.
fn counts(pool: &SharedPool) -> (u64, u64, u64, u64) {
    let now = figures(pool);
    let count = |figure: Option<u64>| figure.unwrap();
    (count(now.checked_in), count(now.checked_out), count(now.overflow), count(now.pending))
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(Duration::from_secs(10), waiting).await.is_ok(), "never: {what}");
}

async fn backend(checkout: &mut Checkout) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(checkout).await.unwrap()
}

/// The number of sessions that the server has from a pool.
async fn sessions(pool: &str) -> i64 {
    let other = SharedPool::new("other", options(), settings(1, 0));
    let mut checkout = other.acquire().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1")
        .bind(pool)
        .fetch_one(&mut checkout)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_pool_connects_when_first_asked_and_keeps_its_size() {
    let pool = pool("keeps", settings(2, 1));
    assert_eq!((counts(&pool), pool.reading().totals.opened), ((0, 0, 0, 0), Some(0)));
    let (one, two, three) = (
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    );
    assert_eq!(counts(&pool), (0, 3, 1, 0));
    drop(one);
    drop(two);
    assert_eq!(counts(&pool), (2, 1, 1, 0));
    drop(three);
    assert_eq!(counts(&pool), (2, 0, 0, 0));
    assert_eq!(figures(&pool).peak, Some(3));
    let (totals, timings) = (pool.reading().totals, pool.reading().timings);
    assert_eq!((totals.opened, totals.invalidated), (Some(3), Some(0)));
    assert_eq!(timings.acquire.unwrap().count(), 3);
    assert_eq!(timings.hold.unwrap().count(), 3);
    let mut left = 3;
    for _ in 0..500 {
        left = sessions("keeps").await;
        if left == 2 {
            break;
        }
    }
    assert_eq!(left, 2, "the overflow connection is closed on the server");
}

#[tokio::test]
async fn connections_are_used_first_in_first_out() {
    let pool = pool("fifo", settings(2, 0));
    let (mut one, mut two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let pids = (backend(&mut one).await, backend(&mut two).await);
    drop(two);
    drop(one);
    let (mut three, mut four) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!((backend(&mut four).await, backend(&mut three).await), pids);
}

#[tokio::test]
async fn callers_wait_in_line_and_the_late_get_the_reason() {
    let pool = pool("line", PoolSettings { timeout: Duration::from_millis(300), ..settings(1, 0) });
    let held = pool.acquire().await.unwrap();
    let refused = pool.acquire().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.30"
    );
    assert_eq!((pool.reading().totals.timeouts, counts(&pool)), (Some(1), (0, 1, 0, 0)));

    let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..5 {
        let (waiting, order) = (pool.clone(), order.clone());
        tokio::spawn(async move {
            let _checkout = waiting.acquire().await.unwrap();
            order.send(number).unwrap();
        });
        until("one more waits", || counts(&pool).3 == number + 1).await;
    }
    drop(held);
    for number in 0..5 {
        assert_eq!(served.recv().await, Some(number));
    }
    until("all are back", || counts(&pool) == (1, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_trace() {
    let pool = pool("gives-up", settings(1, 0));
    let held = pool.acquire().await.unwrap();
    {
        let mut waiting = Box::pin(pool.acquire());
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(counts(&pool).3, 1);
    }
    assert_eq!(counts(&pool), (0, 1, 0, 0));
    drop(held);
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test]
async fn no_place_is_lost_however_acquires_are_cancelled() {
    let pool = pool("cancelled", settings(2, 2));
    for round in 0..150_u64 {
        let tasks: Vec<_> = (0..6_u64)
            .map(|task| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let work = async {
                        let mut checkout = pool.acquire().await?;
                        if (round + task) % 3 == 0 {
                            checkout.invalidate();
                        }
                        let _ = checkout.execute("SELECT pg_sleep(0.0005)").await;
                        Ok::<_, AcquireError>(())
                    };
                    // Every await point is met: connecting, pinging, waiting, running.
                    let give_up_after = Duration::from_micros((round * 37 + task * 911) % 6000);
                    let _ = timeout(give_up_after, work).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    until("nobody holds or waits", || (counts(&pool).1, counts(&pool).3) == (0, 0)).await;
    // The server is still busy with the connections given up, and may refuse a few more.
    let began = std::time::Instant::now();
    let _all = loop {
        let all = [pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire()];
        match futures_util::future::try_join_all(all).await {
            Ok(all) => break all,
            Err(error) => {
                let again = !matches!(error, AcquireError::Timeout { .. });
                assert!(again && began.elapsed() < Duration::from_secs(30), "{error}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(counts(&pool), (0, 4, 2, 0));
    assert!(figures(&pool).peak <= Some(4));
}

#[tokio::test]
async fn no_place_is_lost_in_a_panic() {
    let pool = pool("panics", settings(1, 0));
    for _ in 0..3 {
        let pool = pool.clone();
        let task = tokio::spawn(async move {
            let _checkout = pool.acquire().await.unwrap();
            panic!("as applications do");
        });
        assert!(task.await.is_err());
    }
    assert_eq!(counts(&pool), (1, 0, 0, 0));
}

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

#[tokio::test]
async fn a_closed_pool_refuses_and_closes_what_comes_back() {
    let pool = pool("closed", settings(1, 1));
    let (one, two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(one);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { (pool.acquire().await, pool.acquire().await.map(drop)) }
    });
    tokio::task::yield_now().await;
    pool.close().await;
    assert!(matches!(pool.acquire().await, Err(AcquireError::Closed)));
    assert!(waiting.await.unwrap().1.is_err());
    drop(two);
    until("none is left", || counts(&pool) == (0, 0, 0, 0)).await;
}

#[test]
fn a_checkout_may_be_dropped_outside_the_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = pool("outside", settings(1, 0));
    let (clean, dirty) = runtime.block_on(async {
        let clean = pool.acquire().await.unwrap();
        let pool = SharedPool::new("outside-too", options(), settings(1, 0));
        let mut dirty = pool.acquire().await.unwrap();
        dirty.raw();
        (clean, dirty)
    });
    drop(clean);
    drop(dirty);
    assert_eq!(counts(&pool), (1, 0, 0, 0));
    assert!(runtime.block_on(pool.acquire()).is_ok());
    let last = runtime.block_on(pool.acquire()).unwrap();
    drop(runtime);
    drop(last);
}

#[tokio::test]
async fn sqlx_itself_can_be_used_on_the_connection() {
    let pool = pool("raw", settings(1, 0));
    let mut checkout = pool.acquire().await.unwrap();
    checkout.raw().execute("CREATE TEMP TABLE copied (id int)").await.unwrap();
    let mut copy = checkout.raw().copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    copy.send(&b"1\n2\n"[..]).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    checkout.raw().ping().await.unwrap();
    assert_eq!(pool.reading().timings.query.unwrap().count(), 0);
    drop(checkout);
    until("it is back", || counts(&pool) == (1, 0, 0, 0)).await;
    assert_eq!(pool.reading().totals.opened, Some(1));
}

#[tokio::test]
async fn a_burst_stays_within_the_pool() {
    let pool = pool("burst", settings(1, 2));
    let watched = tokio::spawn(async {
        let mut most = 0;
        for _ in 0..60 {
            most = sessions("burst").await.max(most);
        }
        most
    });
    let callers = (0..8).map(|_| async {
        for _ in 0..40 {
            let mut checkout = pool.acquire().await.unwrap();
            checkout.execute("SELECT 1").await.unwrap();
        }
    });
    futures_util::future::join_all(callers).await;
    // The server ends a session a moment after it was told to.
    let most = watched.await.unwrap();
    assert!((1..=6).contains(&most), "{most}");
    assert!(figures(&pool).peak <= Some(3));
    assert_eq!(pool.reading().timings.acquire.unwrap().count(), 8 * 40);
}
