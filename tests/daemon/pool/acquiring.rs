//! Callers: in line, in bursts, cancelled and refused.

use std::time::Duration;

use futures_util::FutureExt;
use poolwatch_client::{AcquireError, PoolSettings, SharedPool};
use sqlx::{Connection, Executor};
use tokio::time::{sleep, timeout};

use super::*;

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
async fn a_caller_that_gives_up_is_counted_and_holds_nothing() {
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
    let totals = pool.reading().totals;
    assert_eq!(
        (totals.abandoned, totals.acquire_errors, totals.timeouts),
        (Some(1), Some(0), Some(0))
    );
    // Three asked, and each of them waited, however it ended.
    let acquired = pool.reading().timings.acquire.unwrap();
    assert_eq!(acquired.count(), 3);
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
                assert!(again && began.elapsed() < Duration::from_mins(3), "{error}");
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
