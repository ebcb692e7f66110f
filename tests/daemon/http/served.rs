//! A server in this process on a port of its own, and a client that sends raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poolwatch::exposition::Chunk;
use poolwatch::http::{Server, Settings};
use poolwatch::metric::Family;
use poolwatch::snapshot::Snapshot;
use poolwatch::state::{Moment, Thresholds};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long enough for anything that should happen, short enough for a test that fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Served {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _snapshot: watch::Sender<Arc<Snapshot>>,
    _reload: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
}

/// Settings that listen on a free port of this machine only.
pub(super) fn settings() -> Settings {
    Settings { listen_addresses: vec!["127.0.0.1:0".into()], ..Settings::default() }
}

impl Served {
    pub(super) fn new(settings: &Settings) -> Self {
        Self::showing(settings, some_series(1000))
    }

    pub(super) fn showing(settings: &Settings, snapshot: Snapshot) -> Self {
        Self::open(settings.open().unwrap(), snapshot)
    }

    fn open(server: Server, snapshot: Snapshot) -> Self {
        let address = server.addresses()[0];
        let (snapshot_sender, snapshot) = watch::channel(Arc::new(snapshot));
        let (reload, asked) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { stopped.await.unwrap_or(()) };
        let task = tokio::spawn(server.serve(snapshot, reload, shutdown));
        Self { address, stop: Some(stop), task, _snapshot: snapshot_sender, _reload: asked }
    }

    pub(super) async fn connect(&self) -> Client<TcpStream> {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// Asks for a path on a connection of its own.
    pub(super) async fn get(&self, path: &str, headers: &str) -> Said {
        self.connect().await.get(path, headers).await
    }

    pub(super) fn begin_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(super) async fn stopped(self) {
        timeout(PATIENCE, self.task).await.expect("it stops in time").unwrap();
    }
}

/// A snapshot taken now, with so many series.
pub(super) fn some_series(count: usize) -> Snapshot {
    series(count, "")
}

/// A snapshot whose metrics are larger than any socket's buffer.
pub(super) fn large() -> Snapshot {
    series(80_000, &"x".repeat(190))
}

/// A snapshot of so many chunks, every other one kept compressed as slow readings are.
pub(super) fn in_chunks(count: usize) -> Snapshot {
    let mut snapshot = some_series(0);
    let chunks = (0..count).map(|number| {
        let mut family = Family::gauge(format!("series_{number}"), "Something to give out.");
        family.sample(&[("number", &number.to_string())], 1.0);
        let chunk = Chunk::encode([&family]);
        Arc::new(if number % 2 == 0 { chunk } else { chunk.packed() })
    });
    snapshot.chunks = chunks.collect();
    snapshot
}

fn series(count: usize, padding: &str) -> Snapshot {
    let mut family = Family::gauge("some_series", "Something to give out.");
    for number in 0..count {
        family.sample(&[("number", &format!("{number}{padding}"))], 1.0);
    }
    let mut snapshot = Snapshot::empty(Thresholds::default(), Duration::from_hours(1));
    snapshot.taken_at = Some(Moment::now());
    snapshot.chunks = vec![Arc::new(Chunk::encode([&family]))];
    snapshot
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Said {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(super) struct Client<S> {
    pub(super) stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The status of an answer; `None` when the server hangs up instead.
    pub(super) async fn try_status(&mut self, path: &str) -> Option<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.ok()?;
        let mut read = [0; 12];
        self.stream.read_exact(&mut read).await.ok()?;
        std::str::from_utf8(&read).ok()?.split(' ').nth(1)?.parse().ok()
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(super) async fn get(&mut self, path: &str, headers: &str) -> Said {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        self.answer().await
    }

    /// The next answer, its body by Content-Length.
    pub(super) async fn answer(&mut self) -> Said {
        let mut said = self.head().await;
        let length = said.header("content-length").unwrap_or("0").parse().unwrap();
        while self.read.len() < length {
            self.more().await;
        }
        said.body = self.read.drain(..length).collect();
        said
    }

    /// The next answer's head alone.
    pub(super) async fn head(&mut self) -> Said {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Said { status, head, body: Vec::new() }
    }

    async fn more(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        assert_ne!(read.expect("something comes").unwrap(), 0, "closed after {:?}", self.read);
    }

    /// Waits until the server closes, and gives what it sent before.
    pub(super) async fn closed(mut self) -> String {
        let mut rest = self.read;
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        // A reset is a close, too.
        read.expect("the server closes").ok();
        String::from_utf8_lossy(&rest).into_owned()
    }
}
