//! The shared parts of the tests: waiting for a condition, and the output of programs.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

mod daemon;
pub(crate) mod exporter;
mod http;
mod metrics;
mod over_tcp;
mod programs;
pub(crate) mod prometheus;
mod relay;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::demo::ChildProcess;

pub(crate) use daemon::{Daemon, DaemonBuilder, poolwatch, poolwatch_as_nobody};
pub(crate) use http::{Answer, request, try_request, try_request_through};
pub(crate) use metrics::{Metrics, Series};
pub(crate) use over_tcp::{cluster_over_tcp, sql_over_tcp};
pub(crate) use programs::{programs, version};
pub(crate) use relay::Relay;

/// The time within which anything must be done, on a machine busy with other tests.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Something that is true or there, at last.
pub(crate) trait Outcome {
    type Value;
    fn value(self) -> Option<Self::Value>;
}

impl Outcome for bool {
    type Value = ();
    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;
    fn value(self) -> Self {
        self
    }
}

/// Says that a test, or a part of it, was left out and why; `make test` ends with all that was.
pub(crate) fn skipped(test: &str, why: &str) {
    // Past the test harness, which keeps what a test prints that passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    let line = format!("{test}: {why}\n");
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
    let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
}

/// Whether more wants to run on this machine than it has processors for.
pub(crate) fn is_busy() -> bool {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = loads.split(' ').next().unwrap().parse().unwrap();
    load > 1.5 * std::thread::available_parallelism().unwrap().get() as f64
}

/// Asks again and again until it is true, or there.
#[track_caller]
pub(crate) fn eventually<O: Outcome>(mut probe: impl FnMut() -> O) -> O::Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = probe().value() {
            return value;
        }
        assert!(Instant::now() < deadline, "this did not come true within {TIMEOUT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port of this machine that was free a moment ago, for programs that cannot choose one themselves.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An address of this machine that is nobody else's, for servers that have the usual port.
pub(crate) fn free_address() -> Ipv4Addr {
    let [high, low] = free_port().to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

/// All that a process has printed so far.
#[derive(Clone, Default)]
pub(crate) struct Output {
    text: Arc<Mutex<String>>,
    /// Held once here and once by each stream that has not ended.
    open: Arc<()>,
}

impl Output {
    /// Collects what comes, on a thread of its own, until the end.
    pub(crate) fn collect(&self, stream: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = output.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
    }

    /// Starts a program whose output is all collected here.
    pub(crate) fn of(command: &mut Command) -> (ChildProcess, Self) {
        let output = Self::default();
        let mut process =
            ChildProcess::start(command.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
        output.collect(process.child().stdout.take().unwrap());
        output.collect(process.child().stderr.take().unwrap());
        (process, output)
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Whether all streams have ended: what a program said last may come after its end.
    pub(crate) fn is_whole(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}
