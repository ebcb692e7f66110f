//! What the tests share: the daemon as a process of its own, its answers, and patience.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

pub(crate) mod exporter;
mod metrics;
mod programs;
pub(crate) mod prometheus;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::demo::Process;
use tempfile::TempDir;

pub(crate) use metrics::{Metrics, Series};
pub(crate) use programs::{programs, version};

/// More than anything takes on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

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
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().value() {
            return value;
        }
        assert!(Instant::now() < deadline, "this did not come true within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port of this machine that was free a moment ago, for programs that cannot choose one themselves.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
    pub(crate) fn of(command: &mut Command) -> (Process, Self) {
        let output = Self::default();
        let mut process =
            Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
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

/// The real daemon, on a port of its own. Dropping it ends it.
pub(crate) struct Daemon {
    process: Process,
    output: Output,
    address: SocketAddr,
    folder: TempDir,
}

/// What a daemon is started with.
#[derive(Default)]
pub(crate) struct Builder {
    settings: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// Whether the settings say where workers report.
    own_socket: bool,
}

impl Builder {
    /// The settings say where workers report, and may change it.
    pub(crate) fn own_socket(mut self) -> Self {
        self.own_socket = true;
        self
    }

    /// An argument beside `--config.file` and `--web.listen-address`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable of the environment, which has nothing else but PATH.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, with its settings written into the folder.
    fn command(&self, folder: &TempDir) -> Command {
        let file = folder.path().join("poolwatch.yml");
        std::fs::write(&file, &self.settings).unwrap();
        let mut command = poolwatch();
        command.arg("run").arg("--config.file").arg(file);
        command.arg("--web.listen-address=127.0.0.1:0").args(&self.arguments);
        if !self.own_socket {
            // Each has a workers' socket of its own.
            command.env("POOLWATCH__WORKERS__SOCKET", folder.path().join("poolwatch.sock"));
        }
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Starts it, and returns when it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let (mut process, output) = Output::of(&mut self.command(&folder));
        let address = eventually(|| {
            let ended = process.ended().unwrap();
            assert!(ended.is_none(), "poolwatch ended: {ended:?}\n{}", output.text());
            listening(&output.text())
        });
        Daemon { process, output, address, folder }
    }
}

/// The same as somebody who may write nowhere: root gives its own rights up for that. The folder holds the copy of
/// the executable that he can reach.
pub(crate) fn poolwatch_as_nobody(folder: &Path) -> Command {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    use std::os::unix::process::CommandExt as _;
    let mut command = poolwatch();
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let copy = folder.join("poolwatch");
        // By another process: one that is started here meanwhile would hold the copy open for writing.
        let mut cp = Command::new("cp");
        cp.args(["--no-clobber", env!("CARGO_BIN_EXE_poolwatch")]);
        assert!(cp.arg(&copy).status().unwrap().success());
        for path in [folder, &copy] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        command = Command::new(copy);
        command.env_clear().uid(65534).gid(65534);
    }
    command
}

/// The executable under test, in an empty environment.
pub(crate) fn poolwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolwatch"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The address in the line that says so.
fn listening(output: &str) -> Option<SocketAddr> {
    let line =
        output.lines().find(|line| line.contains("listening") && line.contains("address="))?;
    let (_, rest) = line.split_once("address=")?;
    rest.trim_start_matches('"').split([' ', '"']).next()?.parse().ok()
}

impl Daemon {
    /// A daemon with these settings, in YAML.
    pub(crate) fn with_settings(settings: &str) -> Builder {
        Builder { settings: settings.to_owned(), ..Builder::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where workers report.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("poolwatch.sock")
    }

    /// All it has printed so far.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// The file of its settings.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.folder.path().join("poolwatch.yml")
    }

    /// As `rewrite_settings`, with a new file in the place of the old one.
    pub(crate) fn replace_settings(&self, settings: &str) {
        let new = self.settings_file().with_extension("new");
        std::fs::write(&new, settings).unwrap();
        std::fs::rename(new, self.settings_file()).unwrap();
    }

    /// Replaces its settings; they hold from the next reload.
    pub(crate) fn rewrite_settings(&self, settings: &str) {
        std::fs::write(self.folder.path().join("poolwatch.yml"), settings).unwrap();
    }

    pub(crate) fn signal(&mut self, name: &str) {
        self.process.signal(name).unwrap();
    }

    /// How it ends after SIGTERM, and all that it printed.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = eventually(|| self.process.ended().unwrap());
        eventually(|| self.output.is_whole());
        (status, self.output())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[])
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(self.address, method, path, headers)
    }

    /// As `get`, of a daemon that may hang up instead.
    pub(crate) fn try_request(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        try_request(self.address, "GET", path, headers)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// The value of the one series with this name and these labels, and perhaps others.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics().value(name, labels)
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks once, on a connection of its own.
#[track_caller]
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    try_request(to, method, path, headers).unwrap_or_else(|| panic!("{to} does not answer {path}"))
}

/// As `request`, of a server that may not be there.
pub(crate) fn try_request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    let stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    exchange(stream, method, path, headers)
}

/// As `try_request`, of a server that listens on a socket of this machine.
pub(crate) fn try_request_through(socket: &Path, method: &str, path: &str) -> Option<Answer> {
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    exchange(stream, method, path, &[("Content-Length", "0")])
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").ok()?;
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).ok()?;
    parse_answer(&whole)
}

fn parse_answer(whole: &[u8]) -> Option<Answer> {
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&whole[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let split = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(split).collect();
    let body = &whole[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Answer { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

#[test]
fn the_address_is_found_in_the_log() {
    let line =
        "ts=2026-01-01T00:00:00Z level=info msg=listening address=127.0.0.1:4711 tls=false\n";
    assert_eq!(listening(line), Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
}
