//! Dashboards and alerts written for `postgres_exporter` find their series: each expression is
//! asked of a real Prometheus that scrapes what poolwatch shows.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use poolwatch::collectors;
use poolwatch::postgres::Database;
use poolwatch::sampler::Sampler;
use poolwatch::snapshot::{Snapshot, Thresholds};
use poolwatch::sources::collector::{Reader, Settings};
use poolwatch::sources::{Source, Watch, probe};
use tokio::sync::{mpsc, watch};

use super::laden::wait;

const LISTS: &str = "tests/daemon/compatibility";

/// The expressions that do not answer as their list says.
pub(super) async fn unanswered(url: &str) -> Vec<String> {
    let address = serve(exposition(&super::database(url)).await);
    let prometheus = Prometheus::start(&address);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTS);
    let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut wrong = Vec::new();
    for file in files {
        let list = fs::read_to_string(&file).unwrap();
        let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            let (expression, reason) = line.split_once(" # absent: ").unwrap_or((line, ""));
            if prometheus.answers(expression) != reason.is_empty() {
                wrong.push(format!("{}: {line}", file.file_name().unwrap().display()));
            }
        }
    }
    wrong
}

/// What the daemon shows once every source was read.
async fn exposition(database: &Arc<Database>) -> String {
    let sampler = Sampler::new(watches(database), vec![database.clone()], Thresholds::default());
    let (publisher, mut snapshots) = watch::channel(Arc::new(sampler.first()));
    let (_orders, received) = mpsc::channel(1);
    let all_read = |snapshot: &Arc<Snapshot>| {
        !snapshot.sources.is_empty() && snapshot.sources.iter().all(|source| source.up.is_some())
    };
    tokio::select! {
        () = sampler.run(publisher, received) => panic!("the sampler ended"),
        snapshot = snapshots.wait_for(all_read) => {
            let snapshot = snapshot.unwrap();
            let chunks = snapshot.chunks.iter().map(AsRef::as_ref);
            String::from_utf8(poolwatch::exposition::join(chunks, false).to_vec()).unwrap()
        }
    }
}

fn watches(database: &Arc<Database>) -> Vec<Watch> {
    let entry = |name: &str, source| Watch {
        name: format!("primary/{name}"),
        group: name.to_owned(),
        label: None,
        database: Some("primary".to_owned()),
        interval: Duration::from_mins(10),
        source,
    };
    let probe = entry("probe", Source::Probe(probe::Probe::open(database.clone())));
    let readers = collectors::ALL.iter().map(|collector| {
        let reader = Reader::open(database.clone(), collector, Settings::default());
        entry(collector.name, Source::Collector(reader))
    });
    readers.chain([probe]).collect()
}

/// Gives this text to whoever asks, for as long as the test runs.
fn serve(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &text);
        }
    });
    address
}

fn answer(mut stream: TcpStream, text: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    // Whoever asked may have gone.
    let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
}

struct Prometheus {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: poolwatch, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        // Free a moment ago; Prometheus does not say which port it took.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=error");
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let prometheus = Self { process, address, _folder: folder };
        wait("Prometheus has scraped thrice", || {
            prometheus.answers("count_over_time(pg_up[1m]) >= 3")
        });
        prometheus
    }

    /// Whether there is any series.
    fn answers(&self, expression: &str) -> bool {
        self.ask(expression).is_some_and(|answer| {
            let json: serde_json::Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(json["status"], "success", "{expression}: {json}");
            !json["data"]["result"].as_array().unwrap().is_empty()
        })
    }

    fn ask(&self, expression: &str) -> Option<String> {
        let query: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        (!head.contains(" 503 ")).then(|| body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
