//! The daemon under many clients, as a process: probes and scrapes are answered in their time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use serde_json::json;

use super::web_config::{Folder, hash};
use crate::support::{Daemon, eventually};

/// A probe of Kubernetes and of the shipped deployment has 3 s, on a machine that is not slow; less than the
/// timeout of a request that does not come.
const PROBE: Duration = Duration::from_secs(9);
/// Prometheus' scrape has 10 s by default, on a machine that is not slow.
const SCRAPE: Duration = Duration::from_mins(1);

/// Ends the others' work, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// So many workers of one pool.
fn report(daemon: &Daemon, workers: usize) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(daemon.socket()).unwrap();
    for number in 0..workers {
        let pool = json!({"name": "web", "size": 5, "max_overflow": 15, "checked_in": 3,
                          "checked_out": 2, "pending": 0, "peak": 4, "opened": 7});
        let report = json!({"v": 1, "inst": format!("{number}"), "pid": number, "seq": 1,
                            "period": 60.0, "app": "reddit-bot", "pools": [pool]});
        socket.send(&serde_json::to_vec(&report).unwrap()).unwrap();
    }
}

/// The longest of 20 answers to a path while the others do their work.
fn longest(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(daemon.request("GET", path, headers).status, 200);
        longest = longest.max(began.elapsed());
    }
    longest
}

#[test]
fn large_pages_keep_no_probe_waiting() {
    let daemon = Daemon::with_settings("workers: {max_workers: 2500}\n").start();
    report(&daemon, 2000);
    eventually(|| daemon.value("db_pool_workers", &[("pool", "web")]) == Some(2000.0));
    let over = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        for number in 0..60 {
            let (daemon, over) = (&daemon, &over);
            let path = if number % 2 == 0 { "/" } else { "/health/detailed" };
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    assert!(matches!(daemon.get(path).status, 200 | 503));
                }
            });
        }
        let _over = Over(&over);
        longest(&daemon, "/-/healthy", &[])
    });
    assert!(longest < PROBE, "{longest:?}");
}

/// A connection from an address of this machine, 127.0.a.b.
fn from(daemon: &Daemon, a: u8, b: u8) -> TcpStream {
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, a, b, 0)).expect("an own address");
    let SocketAddr::V4(address) = daemon.address() else { panic!("it listens on IPv4") };
    connect(socket.as_raw_fd(), &SockaddrIn::from(address)).expect("it listens");
    socket.into()
}

/// Whether a request over this connection is answered before its time is over.
fn is_answered(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(PROBE)).unwrap();
    let asked = stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = [0; 1024];
    asked.is_ok()
        && matches!(stream.read(&mut answer), Ok(read) if answer[..read].starts_with(b"HTTP/1.1 200"))
}

#[test]
fn kept_and_busy_connections_of_one_client_keep_no_probe_waiting() {
    let daemon = Daemon::with_settings("").start();
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (daemon, over, asked) = (&daemon, &over, &asked);
        // As many connections as are allowed, each of which asks again before it counts as idle.
        scope.spawn(move || {
            let mut kept: Vec<TcpStream> = Vec::new();
            while !over.load(Relaxed) {
                kept.retain_mut(is_answered);
                while kept.len() < 128 {
                    kept.extend(TcpStream::connect(daemon.address()));
                }
                asked.fetch_add(1, Relaxed);
            }
        });
        let _over = Over(over);
        eventually(|| asked.load(Relaxed) >= 3);
        for _ in 0..10 {
            assert!(is_answered(&mut from(daemon, 0, 2)), "a probe was not answered");
        }
    });
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A request that nobody waits for the answer of.
fn abort(daemon: &Daemon, authorization: &str) {
    let Ok(mut stream) = TcpStream::connect(daemon.address()) else { return };
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n");
    // It may have been turned away.
    let _ = stream.write_all(head.as_bytes());
}

/// The status of the answer to a scrape from this address; none where the connection was closed.
fn scrape(daemon: &Daemon, (a, b): (u8, u8), password: &str) -> Option<u16> {
    let mut stream = from(daemon, a, b);
    let authorization = basic("prometheus", password);
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(answer.get(9..12)?).parse().ok()
}

/// A hash that takes at least as long as one of cost 10 in a release build, however this was built.
fn slow_hash(password: &str) -> String {
    let takes_long = |cost: &u32| {
        let hash = hash("another", *cost);
        let began = Instant::now();
        assert!(!bcrypt::verify(password, &hash).unwrap());
        began.elapsed() >= Duration::from_millis(50)
    };
    let cost = (4..10).find(takes_long).unwrap_or(10);
    hash(password, cost)
}

#[test]
fn wrong_passwords_keep_no_scrape_waiting() {
    let users = format!("basic_auth_users: {{ prometheus: '{}' }}", slow_hash("right"));
    let folder = Folder::with(&users);
    let file = folder.path().join("web-config.yml");
    let argument = format!("--web.config.file={}", file.display());
    let daemon = Daemon::with_settings("").argument(&argument).start();
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..110 {
            let (daemon, over, refused) = (&daemon, &over, &refused);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Relaxed) {
                        return;
                    }
                    let status = scrape(daemon, (1, client), &format!("{client} {number}"));
                    assert!(status.is_none_or(|status| matches!(status, 401 | 503)));
                    refused.fetch_add(usize::from(status == Some(401)), Relaxed);
                }
            });
        }
        let _over = Over(&over);
        // Each of them has its next password waiting.
        eventually(|| refused.load(Relaxed) >= 110);
        (0..1500).for_each(|number| abort(&daemon, &basic("prometheus", &number.to_string())));
        let longest = |requests: usize| {
            let scrapes = (0..requests).map(|_| {
                let began = Instant::now();
                assert_eq!(scrape(&daemon, (0, 2), "right"), Some(200));
                began.elapsed()
            });
            scrapes.max().unwrap_or_default()
        };
        // At first its password is checked, and then remembered.
        let first = longest(1);
        assert!(first < SCRAPE, "{first:?}");
        let others = longest(20);
        assert!(others < PROBE, "{others:?}");
    });
}
