//! Sessions that their worker left behind: a proxy that is stopped keeps them open on the server.

mod counted;
mod lost;

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Instant;

use poolwatch::demo::{ChildProcess, Cluster};
use serde_json::Value;

use crate::application::python;
use crate::support::{Daemon, Metrics, Output, eventually, free_address};

/// A worker: an engine of so many connections, all of which it has used.
const WORKER: &str = "
import sys, time
from sqlalchemy import create_engine
web = create_engine(sys.argv[1], pool_size=int(sys.argv[2]))
for connection in [web.connect() for _ in range(int(sys.argv[2]))]:
    connection.close()
print('open', flush=True)
time.sleep(3600)
";

/// Passes connections on, in a process of its own, which can be stopped.
const PROXY: &str = "
import socket, sys, threading
def copy(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    server = socket.create_connection((sys.argv[1], 5432))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
";

struct Stage {
    cluster: Rc<Cluster>,
    address: Ipv4Addr,
    daemon: Daemon,
}

impl Stage {
    fn new() -> Self {
        Self::with_sampling("server: 1s")
    }

    fn with_sampling(sampling: &str) -> Self {
        let address = free_address();
        let builder = Cluster::builder().setting("listen_addresses", &address.to_string());
        Self { address, ..Self::before(Rc::new(builder.start().unwrap()), sampling) }
    }

    /// A daemon that reads this server.
    fn before(cluster: Rc<Cluster>, sampling: &str) -> Self {
        let settings = format!(
            "servers: {{primary: {{url: '{}'}}}}
advice: {{orphaned_sessions: {{longer_than: 1s}}, clear_after: 1s}}
workers: {{ttl: 60s}}
sampling: {{{sampling}}}
",
            cluster.url("postgres")
        );
        let daemon = Daemon::with_settings(&settings).start();
        eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
        Self { cluster, address: Ipv4Addr::LOCALHOST, daemon }
    }

    /// A worker with so many connections, through this port.
    fn worker(&self, host: &str, port: u16, connections: u32) -> ChildProcess {
        self.application(WORKER, &url(host, port), connections)
    }

    /// An application with so many connections to this address, once it has them.
    fn application(&self, program: &str, url: &str, connections: u32) -> ChildProcess {
        let mut worker = python();
        worker.args(["-c", program, url, &connections.to_string()]);
        let (process, output) = Output::of(worker.env("POOLWATCH_SOCKET", self.daemon.socket()));
        eventually(|| output.text().contains("open"));
        process
    }

    /// The advice about orphans, if there is some.
    fn advice(&self) -> Option<Value> {
        let advice = self.daemon.get("/health/detailed").json()["advice"].clone();
        let advice = advice.as_array()?.clone();
        advice.into_iter().find(|one| one["rule"] == "orphaned_sessions")
    }

    /// Waits for advice about so many orphans whose message ends so, and does what its query says.
    #[track_caller]
    fn follow_advice(&self, orphans: u32, end: &str) -> String {
        let start = format!("{orphans} sessions ");
        let query = eventually(|| {
            let advice = self.advice()?;
            let message = advice["message"].as_str()?;
            let is_told = message.starts_with(&start)
                && message.contains("no worker any more")
                && message.ends_with(end);
            is_told.then(|| advice["sql"][0].as_str().map(str::to_owned))?
        });
        self.cluster.sql(&query).unwrap()
    }

    /// So many more readings of the sessions.
    fn read_again(&self, readings: u32) {
        let source = [("source", "primary/session_owners")];
        let read_at =
            || self.daemon.value("poolwatch_source_last_success_timestamp_seconds", &source);
        for _ in 0..readings {
            let before = eventually(read_at);
            eventually(|| read_at() > Some(before));
        }
    }

    fn sessions(&self, owner: &str) -> f64 {
        of_owner(&self.daemon.metrics(), owner)
    }

    /// The sessions of workers, the orphans, both of one scrape, and the sessions on the server.
    fn counts(&self) -> (f64, f64, f64) {
        let metrics = self.daemon.metrics();
        (of_owner(&metrics, "worker"), of_owner(&metrics, "orphan"), self.on_server())
    }

    /// Waits until the sessions of workers, the orphans and the sessions on the server are so many.
    #[track_caller]
    fn has(&self, expected: (f64, f64, f64)) {
        eventually(|| self.counts() == expected);
    }

    fn on_server(&self) -> f64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop'";
        self.cluster.sql(sql).unwrap().parse().unwrap()
    }
}

fn of_owner(metrics: &Metrics, owner: &str) -> f64 {
    let labels = [("owner", owner), ("application_name", "shop")];
    metrics.all("pg_sessions_by_owner", &labels).map(|series| series.value).sum()
}

fn url(host: &str, port: u16) -> String {
    format!(
        "postgresql+psycopg://postgres@{host}:{port}/postgres\
         ?application_name=shop&plugin=poolwatch&poolwatch_pool=web"
    )
}

fn proxy(server: Ipv4Addr) -> (ChildProcess, u16) {
    let (proxy, output) = Output::of(python().args(["-c", PROXY, &server.to_string()]));
    let port = eventually(|| output.text().trim().parse().ok());
    (proxy, port)
}

#[test]
#[expect(clippy::print_stderr, reason = "it is shown where the test fails")]
fn a_worker_killed_behind_a_stopped_proxy_leaves_its_number_of_orphans_and_the_query_ends_them() {
    let stage = Stage::new();
    let (mut proxy, port) = proxy(stage.address);
    let other = stage.worker(&stage.address.to_string(), 5432, 2);
    let mut killed = stage.worker("127.0.0.1", port, 3);
    stage.has((5.0, 0.0, 5.0));
    proxy.signal("STOP").unwrap();
    killed.signal("KILL").unwrap();
    let died = Instant::now();
    eventually(|| killed.ended().unwrap());
    stage.has((2.0, 3.0, 5.0));
    eprintln!("named after {:.1?}, of 15 s on a machine that is not slow", died.elapsed());
    stage.follow_advice(3, "3 of application shop (role postgres) from 127.0.0.1");
    stage.has((2.0, 0.0, 2.0));
    proxy.signal("KILL").unwrap();
    drop(other);
}

#[test]
fn workers_that_come_and_go_leave_none() {
    let stage = Stage::new();
    let host = stage.address.to_string();
    let mut old = stage.worker(&host, 5432, 2);
    eventually(|| stage.sessions("worker") == 2.0);
    // Both ways in which a rollout ends a worker. Its sessions end a moment after it.
    for signal in ["TERM", "KILL"] {
        let new = stage.worker(&host, 5432, 2);
        stage.has((4.0, 0.0, 4.0));
        old.signal(signal).unwrap();
        eventually(|| old.ended().unwrap());
        stage.has((2.0, 0.0, 2.0));
        old = new;
    }
    // Of more readings than an orphan would take to be shown.
    stage.read_again(8);
    stage.has((2.0, 0.0, 2.0));
    assert_eq!(stage.advice(), None);
}
