//! Servers that are broken, or mean harm: what comes from one costs that one only.

mod figures;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually};

/// More than a debug build takes with every server of these tests, less than one attack would.
const MEMORY: u64 = 160 << 20;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body);
    message
}

/// A start that the driver takes for a server's.
fn greeting() -> Vec<u8> {
    let version = message(b'S', b"server_version\x0015.4\0");
    [message(b'R', &[0; 4]), version, message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}

/// Sends this for ever, or until the other side has enough.
fn flood(stream: &mut TcpStream, message: &[u8]) {
    let block = message.repeat((1 << 16) / message.len() + 1);
    while stream.write_all(&block).is_ok() {}
}

/// The treatment of whoever asks something.
type Attack = fn(&mut TcpStream);

const ATTACKS: [(&str, Attack); 9] = [
    ("length_zero", |stream| drop(stream.write_all(b"D\0\0\0\0"))),
    ("length_huge", |stream| {
        drop(stream.write_all(b"D\x7f\xff\xff\xff"));
        flood(stream, b"xxxxxxxxxxxxxxxx");
    }),
    ("endless_rows", |stream| {
        let column =
            [&b"\0\x01a\0"[..], &[0; 6], &[0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]];
        drop(stream.write_all(&message(b'T', &column.concat())));
        flood(stream, &message(b'D', b"\0\x01\0\0\0\x01a"));
    }),
    ("parameters", |stream| flood(stream, &message(b'S', b"surprise\0once more\0"))),
    ("notices", |stream| flood(stream, &message(b'N', b"SWARNING\0C01000\0Mlook\0\0"))),
    ("large_error", |stream| {
        let text =
            [b"SERROR\0VERROR\0CXX000\0M", vec![b'x'; 20 << 20].as_slice(), b"\0\0"].concat();
        drop(stream.write_all(&message(b'E', &text)));
    }),
    ("long_error", |stream| {
        let text = [b"SERROR\0VERROR\0CXX000\0M", vec![b'x'; 4 << 20].as_slice(), b"\0\0"].concat();
        drop(stream.write_all(&[message(b'E', &text), message(b'Z', b"I")].concat()));
        // The next question gets the same.
    }),
    ("description", |stream| {
        let column =
            [&[b'a'; 100][..], &[0; 7], &[0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]]
                .concat();
        let body = [&60_000_u16.to_be_bytes()[..], &column.repeat(60_000)].concat();
        let described = [message(b'1', b""), message(b't', b"\0\0"), message(b'T', &body)].concat();
        drop(stream.write_all(&[described, message(b'Z', b"I")].concat()));
    }),
    ("odd_row", |stream| {
        drop(stream.write_all(&message(b'D', b"\xff\xff\0\0\0\x01a")));
    }),
];

/// Listens for ever, and does this to everybody.
fn serve(answer: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn hostile(attack: Attack) -> SocketAddr {
    serve(move |mut stream| {
        let mut question = [0; 16 * 1024];
        // No TLS; then a session as any; then, whatever is asked, the attack.
        for answer in [b"N".to_vec(), greeting()] {
            if stream.read(&mut question).is_ok_and(|read| read > 0) {
                drop(stream.write_all(&answer));
            }
        }
        while stream.read(&mut question).is_ok_and(|read| read > 0) {
            attack(&mut stream);
        }
    })
}

/// Says this before it was asked anything.
fn talkative(text: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| {
        drop(stream.write_all(text));
        // Closed at once, a question that was not read would take the text along.
        drop(stream.read(&mut [0; 1024]));
    })
}

/// The most memory that the daemon ever had.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A database, and others at these addresses.
fn settings(cluster: &Cluster, others: &[(String, SocketAddr)]) -> String {
    let mut settings = format!("servers:\n  good: {{url: '{}'}}\n", cluster.url("postgres"));
    for (name, address) in others {
        let url = format!("postgresql://u@{address}/postgres");
        writeln!(settings, "  {name}: {{url: '{url}', connect_timeout: 1m}}").unwrap();
    }
    settings + "sampling: {pools: 200ms, activity: 200ms, server: 1s, statements: 1s, tables: 1s}\n"
}

fn up(daemon: &Daemon, server: &str) -> Option<f64> {
    daemon.value("pg_up", &[("server", server)])
}

fn readings(daemon: &Daemon) -> f64 {
    daemon.value("db_probe_duration_seconds_count", &[("server", "good")]).unwrap_or(0.0)
}

#[test]
fn a_hostile_server_costs_itself_only() {
    let cluster = Cluster::builder().start().unwrap();
    let mut others: Vec<_> =
        ATTACKS.iter().map(|(name, attack)| ((*name).to_owned(), hostile(*attack))).collect();
    let ssh = b"SSH-2.0-OpenSSH_9.6\r\n";
    others.push(("ssh".to_owned(), talkative(ssh)));
    others.push(("http".to_owned(), talkative(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    let daemon = Daemon::with_settings(&settings(&cluster, &others)).start();
    eventually(|| up(&daemon, "good") == Some(1.0));
    for (name, _) in &others {
        eventually(|| up(&daemon, name) == Some(0.0));
    }
    let failures = |name: &str| {
        let source = format!("{name}/probe");
        daemon.value("poolwatch_source_failures_total", &[("source", &source)]).unwrap_or(0.0)
    };
    let before = readings(&daemon);
    for (name, _) in &others {
        eventually(|| failures(name) >= 3.0);
    }
    eventually(|| readings(&daemon) > before + 3.0);
    assert_eq!(up(&daemon, "good"), Some(1.0));
    assert!(peak(&daemon) < MEMORY, "{} MiB", peak(&daemon) >> 20);
    let output = daemon.output();
    assert!(output.len() < 1 << 20, "{} bytes of log", output.len());
    for expected in
        ["the impossible length 0", "over the limit", "answer is over 32 MiB", "SSH-2.0"]
    {
        assert!(output.contains(expected), "nothing says {expected:?}");
    }
    assert_eq!(daemon.value("poolwatch_panics_total", &[]), Some(0.0));
}

/// A connection to the server, to which all that this client says is carried.
fn carried(client: &TcpStream, server: SocketAddr) -> Option<TcpStream> {
    let upstream = TcpStream::connect(server).ok()?;
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Both);
    });
    Some(upstream)
}

/// Carries bytes, and turns one bit in some of what comes from the server.
fn corrupting(server: SocketAddr, corrupted: &Arc<AtomicU64>) -> SocketAddr {
    let corrupted = Arc::clone(corrupted);
    let seed = Arc::new(AtomicU64::new(1));
    serve(move |client| {
        let Some(upstream) = carried(&client, server) else { return };
        let (mut from_server, mut to_client) = (upstream, client);
        let mut state = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 8).unwrap()
        };
        let mut packet = [0; 1400];
        loop {
            let read = match from_server.read(&mut packet) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if random() % 20 == 0 {
                packet[random() % read] ^= 1 << (random() % 8);
                corrupted.fetch_add(1, Ordering::Relaxed);
            }
            if to_client.write_all(&packet[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    })
}

/// A server that listens at an address of its own, and has statements.
fn listening() -> (Cluster, SocketAddr) {
    let place = crate::support::free_address();
    let cluster =
        Cluster::builder().setting("listen_addresses", &place.to_string()).start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
    (cluster, SocketAddr::from((place, 5432)))
}

#[test]
fn damaged_packets_cost_no_more_than_their_connection() {
    let (cluster, server) = listening();
    let corrupted = Arc::new(AtomicU64::new(0));
    let proxy = corrupting(server, &corrupted);
    let other = [("damaged".to_owned(), proxy)];
    let settings = settings(&cluster, &other).replace("//u@", "//postgres@");
    let daemon = Daemon::with_settings(&settings).start();
    let mut last = (0, 0.0);
    // The good server is read all the while that the other's packets are damaged. A server whose
    // probe fails is asked little else, and a login that it refuses is not tried again at once.
    while last.0 < 30 {
        last = eventually(|| {
            let now = (corrupted.load(Ordering::Relaxed), readings(&daemon));
            (now.0 >= last.0 + 3 && now.1 > last.1).then_some(now)
        });
        assert_eq!(up(&daemon, "good"), Some(1.0));
    }
    assert!(peak(&daemon) < MEMORY, "{} MiB", peak(&daemon) >> 20);
    assert!(daemon.output().len() < 4 << 20, "{} bytes of log", daemon.output().len());
    let (status, output) = daemon.terminate();
    assert!(status.success(), "{status:?} {}", &output[output.len().saturating_sub(4000)..]);
}

/// How often a row of the real server's is repeated.
const REPEATED: usize = 60_000;

/// Carries bytes, and gives the first row of each answer many times over, each with other letters.
fn repeating(server: SocketAddr) -> SocketAddr {
    serve(move |client| {
        let Some(upstream) = carried(&client, server) else { return };
        let (mut from_server, mut to_client) = (std::io::BufReader::new(upstream), client);
        let (mut is_ready, mut is_first) = (false, true);
        loop {
            let mut head = [0; 5];
            if from_server.read_exact(&mut head).is_err() {
                break;
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut whole = head.to_vec();
            whole.resize(1 + length, 0);
            if from_server.read_exact(&mut whole[5..]).is_err() {
                break;
            }
            is_ready |= head[0] == b'Z';
            is_first |= head[0] == b'Z';
            // What a session begins with has rows of fewer values than a view has.
            let is_view = head[0] == b'D' && whole.get(6).is_some_and(|values| *values > 4);
            let times = if is_view && is_ready && is_first { REPEATED } else { 1 };
            is_first &= head[0] != b'D';
            let mut rows = Vec::with_capacity(times * whole.len());
            for at in 0..times {
                // The last letter is a text's often enough.
                let last = whole.last_mut().filter(|last| times > 1 && last.is_ascii_alphabetic());
                if let Some(last) = last {
                    *last = b'a' + u8::try_from(at % 26).unwrap();
                }
                rows.extend_from_slice(&whole);
            }
            if to_client.write_all(&rows).is_err() {
                return;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    })
}

#[test]
fn rows_without_end_cost_their_source_only() {
    let (cluster, server) = listening();
    cluster.sql("CREATE TABLE posts (id int PRIMARY KEY)").unwrap();
    let others = [("endless".to_owned(), repeating(server))];
    let settings = settings(&cluster, &others).replace("//u@", "//postgres@");
    let settings = settings.replace("/postgres', connect", "/postgres?sslmode=disable', connect");
    let daemon = Daemon::with_settings(&settings).start();
    eventually(|| up(&daemon, "good") == Some(1.0));
    eventually(|| daemon.output().contains("has more than 20000 rows"));
    // A statement with a LIMIT gets more than that, too.
    eventually(|| daemon.output().contains("60000 rows where at most 5000 were asked for"));
    let before = readings(&daemon);
    eventually(|| readings(&daemon) > before + 10.0);
    assert!(peak(&daemon) < MEMORY, "{} MiB", peak(&daemon) >> 20);
    assert_eq!(daemon.value("poolwatch_panics_total", &[]), Some(0.0));
}
