//! Workers report to a real socket.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::latency::Histogram;
use poolwatch::reading::{MaxOverflow, Pool, Reading};
use poolwatch::sources::workers::{Error, Settings, Workers};
use poolwatch_client::report::{LIMIT, Report};
use poolwatch_client::{PoolSettings, SharedPool};
use tempfile::TempDir;

use super::pool::CLUSTER;
use crate::support::{Output, eventually, poolwatch_as_nobody};

struct Open {
    workers: Workers,
    _folder: TempDir,
}

fn open() -> Open {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("poolwatch.sock");
    let workers = Settings { socket: Some(socket), ..Settings::default() }.open().unwrap();
    Open { workers, _folder: folder }
}

impl Open {
    fn path(&self) -> PathBuf {
        self.workers.path().to_owned()
    }

    /// Reads until a condition holds.
    async fn until(&mut self, what: &str, mut so: impl FnMut(&Reading) -> bool) -> Reading {
        let began = Instant::now();
        loop {
            let reading = self.workers.read().await.unwrap();
            if so(&reading) {
                return reading;
            }
            assert!(began.elapsed() < Duration::from_mins(3), "never: {what}: {reading:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn pool<'a>(reading: &'a Reading, name: &str) -> Option<&'a Pool> {
    reading.pools.iter().find(|pool| pool.name == name)
}

fn live(reading: &Reading, name: &str) -> Option<u64> {
    pool(reading, name).and_then(|pool| pool.worker_count)
}

/// The value of `poolwatch_reports_rejected_total` by reason, or of `poolwatch_reports_total`.
fn counted(reading: &Reading, sample: &str) -> u64 {
    let text = poolwatch::exposition::Chunk::encode(&reading.families).plain().clone();
    let text = std::str::from_utf8(&text).unwrap().to_owned();
    let line = text.lines().find(|line| !line.starts_with('#') && line.contains(sample)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn datagram(instance: &str, seq: u64, opened: u64) -> String {
    format!(
        r#"{{"v":1,"inst":"{instance}","pid":4000000,"seq":{seq},"pools":[{{"name":"web","size":5,
        "max_overflow":15,"checked_in":1,"checked_out":2,"opened":{opened}}}]}}"#
    )
}

fn send(path: &Path, datagram: &[u8]) {
    UnixDatagram::unbound().unwrap().send_to(datagram, path).unwrap();
}

#[tokio::test]
async fn a_shared_pool_reports_itself_and_sends_a_final_report() {
    let mut open = open();
    let options = CLUSTER.url("postgres").parse().unwrap();
    let shared = SharedPool::new("mine", options, PoolSettings::default());
    shared.report_to(open.path(), "web");
    let mut checkout = shared.acquire().await.unwrap();
    sqlx::query("SELECT 1").execute(&mut checkout).await.unwrap();
    let queries = |reading: &Reading| {
        pool(reading, "web")
            .and_then(|pool| pool.timings.query.as_ref())
            .map_or(0, Histogram::count)
    };
    let reading = open.until("the query", |reading| queries(reading) == 1).await;
    let web = pool(&reading, "web").unwrap();
    let figures = web.workers[0].figures;
    assert_eq!(
        (figures.capacity(), figures.max_overflow),
        (Some(20), Some(MaxOverflow::Limited(15)))
    );
    assert_eq!(web.workers[0].pid, Some(std::process::id()));
    assert_eq!(figures.checked_out, Some(1));

    drop(checkout);
    drop(shared);
    let reading = open.until("the final report", |reading| live(reading, "web") == Some(0)).await;
    let web = pool(&reading, "web").unwrap();
    assert_eq!(web.timings.hold.as_ref().unwrap().count(), 1, "nothing is lost at the end");
}

#[tokio::test]
async fn a_pool_whose_poolwatch_is_away_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poolwatch.sock");
    let options = CLUSTER.url("postgres").parse().unwrap();
    let shared = SharedPool::new("mine", options, PoolSettings::default());
    shared.report_to(&path, "web");
    drop(shared.acquire().await.unwrap());
    // It comes later, and is told of what was before.
    let workers = Settings { socket: Some(path), ..Settings::default() }.open().unwrap();
    let mut open = Open { workers, _folder: folder };
    let reading = open.until("the pool", |reading| live(reading, "web") == Some(1)).await;
    assert_eq!(pool(&reading, "web").unwrap().totals.opened, Some(1));
}

/// README's first command, by a user who may not make /run/poolwatch.
#[test]
fn without_a_place_for_the_socket_it_goes_on_and_a_users_own_folder_is_one() {
    let copy = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    for path in [folder.path(), &run] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let start = |of_user: Option<&Path>| {
        let mut command = poolwatch_as_nobody(copy.path());
        command.arg("--web.listen-address=127.0.0.1:0").env("HOME", "/nonexistent");
        if let Some(of_user) = of_user {
            command.env("XDG_RUNTIME_DIR", of_user);
        }
        Output::of(&mut command)
    };
    let (_process, output) = start(None);
    eventually(|| output.text().contains("listening"));
    let text = output.text();
    assert!(text.contains("level=warn") && text.contains("workers.socket"), "{text}");
    let (_process, output) = start(Some(&run));
    eventually(|| output.text().contains("workers can report"));
    let socket = run.join("poolwatch/poolwatch.sock");
    assert!(output.text().contains(socket.to_str().unwrap()), "{}", output.text());
    assert!(!output.text().contains("level=warn msg=\"there is no socket"), "{}", output.text());
    assert!(socket.exists());
}

/// A worker that reports once and then only lives, in a process of its own.
fn process(path: &Path) -> std::process::Child {
    let script = format!(
        "import socket,sys,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
         s.sendto({:?}.encode(),{:?}); print(1,flush=True); time.sleep(60)",
        datagram("own", 1, 5).replace('\n', " "),
        path.to_str().unwrap(),
    );
    Command::new("python3").args(["-c", &script]).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_killed_worker_disappears_and_its_counters_stay() {
    let mut open = open();
    let mut worker = process(&open.path());
    let reading = open.until("the worker", |reading| live(reading, "web") == Some(1)).await;
    let pid = pool(&reading, "web").unwrap().workers[0].pid;
    assert_eq!(pid, Some(worker.id()), "the kernel's word counts, not the report's");
    worker.kill().unwrap();
    worker.wait().unwrap();
    let reading = open.until("its end", |reading| live(reading, "web") == Some(0)).await;
    assert_eq!(pool(&reading, "web").unwrap().totals.opened, Some(5));
}

#[tokio::test]
async fn sixty_four_workers_at_the_same_instant_lose_nothing() {
    const WORKERS: usize = 64;
    const ROUNDS: u64 = 20;
    let mut open = open();
    let start = Arc::new(Barrier::new(WORKERS));
    let senders: Vec<_> = (0..WORKERS)
        .map(|number| {
            let (start, path) = (Arc::clone(&start), open.path());
            thread::spawn(move || {
                let socket = UnixDatagram::unbound().unwrap();
                // A sender that gave up would keep the others waiting at the barrier.
                socket.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
                for seq in 1..=ROUNDS {
                    start.wait();
                    let datagram = datagram(&number.to_string(), seq, seq);
                    socket.send_to(datagram.as_bytes(), &path).unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    let all = WORKERS as u64 * ROUNDS;
    let reading =
        open.until("all reports", |reading| counted(reading, "reports_total") >= all).await;
    assert_eq!(pool(&reading, "web").unwrap().totals.opened, Some(all));
    assert_eq!(live(&reading, "web"), Some(WORKERS as u64));
    assert_eq!(counted(&reading, "stale") + counted(&reading, "overflow"), 0);
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_reason() {
    let mut open = open();
    let path = open.path();
    let fresh = open.workers.read().await.unwrap();
    for reason in ["malformed", "version", "bounds", "too_large", "stale", "overflow"] {
        assert_eq!(counted(&fresh, &format!("\"{reason}\"")), 0, "{reason}");
    }
    send(&path, b"");
    send(&path, b"{");
    send(&path, br#"{"v":2}"#);
    send(&path, br#"{"v":1,"inst":"a","seq":1,"pools":[],"bounds":[1,2]}"#);
    send(&path, &vec![b' '; LIMIT + 1]);
    send(&path, &vec![b' '; 2 * LIMIT]);
    send(&path, datagram("a", 1, 1).as_bytes());
    send(&path, datagram("a", 1, 1).as_bytes());
    let reading = open.until("all", |reading| counted(reading, "reports_total") >= 8).await;
    let of = |reason: &str| counted(&reading, &format!("\"{reason}\""));
    assert_eq!((of("malformed"), of("version"), of("bounds")), (2, 1, 1));
    assert_eq!((of("too_large"), of("stale")), (2, 1));
    assert_eq!(live(&reading, "web"), Some(1));
}

#[tokio::test]
async fn a_socket_that_was_removed_is_made_anew() {
    let mut open = open();
    let path = open.path();
    send(&path, datagram("a", 1, 1).as_bytes());
    open.until("the worker", |reading| live(reading, "web") == Some(1)).await;
    std::fs::remove_file(&path).unwrap();
    open.workers.read().await.unwrap();
    send(&path, datagram("a", 2, 7).as_bytes());
    let opened = |reading: &Reading| pool(reading, "web").unwrap().totals.opened == Some(7);
    open.until("the second report", opened).await;
}

#[tokio::test]
async fn only_one_poolwatch_listens_and_the_next_takes_over() {
    let first = open();
    let settings = Settings { socket: Some(first.path()), ..Settings::default() };
    assert!(matches!(settings.open(), Err(Error::Taken(_))));
    let Open { workers, _folder } = first;
    drop(workers);
    assert!(!settings.socket.as_ref().unwrap().exists());
    let workers = settings.open().unwrap();
    drop(workers);
}

#[test]
fn what_a_worker_reports_is_what_the_protocol_says() {
    let report = Report::parse(datagram("a", 1, 1).as_bytes()).unwrap();
    assert_eq!(Report::parse(&report.serialize()), Ok(report));
}
