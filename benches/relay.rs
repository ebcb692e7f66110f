//! What the relay between the driver and a server costs: the simplest statement, prepared, over a
//! session through it and over one of the driver's own, on a throwaway server's socket.
#![allow(clippy::unwrap_used, reason = "a bench may")]
#![allow(missing_docs, reason = "criterion's macros have none")]

use criterion::{Criterion, criterion_group, criterion_main};
use poolwatch::demo::Cluster;
use poolwatch::postgres::Settings;
use sqlx::{Connection as _, Executor as _, PgConnection};

fn select_1(criterion: &mut Criterion) {
    let cluster = Cluster::builder().start().unwrap();
    let url = cluster.url("postgres");
    // One thread, as the daemon has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut own = runtime.block_on(PgConnection::connect(&url)).unwrap();
    let settings = Settings { url: url.into(), ..Settings::default() };
    let database = settings.open("primary").unwrap();
    let mut relayed = runtime.block_on(database.acquire()).unwrap();
    let mut group = criterion.benchmark_group("SELECT 1");
    group.bench_function("the driver's own session", |bencher| {
        bencher.iter(|| runtime.block_on(own.execute(sqlx::query("SELECT 1"))).unwrap());
    });
    group.bench_function("through the relay", |bencher| {
        bencher.iter(|| runtime.block_on((&mut relayed).execute(sqlx::query("SELECT 1"))).unwrap());
    });
    group.finish();
    // Its end is awaited within the runtime.
    runtime.block_on(async { drop(relayed) });
}

criterion_group!(benches, select_1);
criterion_main!(benches);
