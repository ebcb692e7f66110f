//! The pool keeps `QueuePool`'s rules on a real server.

mod acquiring;
mod connections;

use std::sync::LazyLock;
use std::time::Duration;

use poolwatch::demo::Cluster;
use poolwatch::reading::{Figures, MaxOverflow};
use poolwatch_client::{Checkout, PoolSettings, SharedPool};
use sqlx::postgres::PgConnectOptions;
use tokio::time::{sleep, timeout};

/// One server for all tests of pools; it ends with the process.
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
    assert!(timeout(Duration::from_mins(3), waiting).await.is_ok(), "never: {what}");
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
