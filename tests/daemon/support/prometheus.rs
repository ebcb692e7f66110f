//! Every Prometheus there is: the machine's own, and one of version 3.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use poolwatch::demo::ChildProcess;
use serde_json::Value;
use tempfile::TempDir;

use super::{Metrics, Output, eventually, free_port, programs, request, try_request, version};

/// Each version's server. Without a network there may be only the machine's own; tools/newer says so.
pub(crate) fn servers() -> &'static [PathBuf] {
    static SERVERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    SERVERS.get_or_init(|| programs("prometheus"))
}

/// Each version's `promtool`.
pub(crate) fn promtools() -> &'static [PathBuf] {
    static PROMTOOLS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROMTOOLS.get_or_init(|| programs("promtool"))
}

/// A Prometheus of some version. Dropping it ends it.
pub(crate) struct Prometheus {
    pub(crate) version: String,
    process: ChildProcess,
    output: Output,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it without waiting for it. JSON is YAML too.
    pub(crate) fn start(program: &Path, flags: &[&str], settings: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, settings.to_string()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).args(flags);
        let (process, output) = Output::of(&mut command);
        Self { version: version(program), process, output, address, _folder: folder }
    }

    #[track_caller]
    pub(crate) fn is_ready(&mut self) -> bool {
        let ended = self.process.ended().unwrap();
        assert!(ended.is_none(), "Prometheus ended: {ended:?}\n{}", self.output.text());
        try_request(self.address, "GET", "/-/ready", &[]).is_some_and(|answer| answer.status == 200)
    }

    /// The first number of its version.
    pub(crate) fn major(&self) -> u32 {
        self.version.split('.').next().unwrap().parse().unwrap()
    }

    /// The value of a query that has one result.
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        self.results(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// Whether a query has any result.
    #[track_caller]
    pub(crate) fn answers(&self, query: &str) -> bool {
        !self.results(query).is_empty()
    }

    #[track_caller]
    fn results(&self, query: &str) -> Vec<Value> {
        let data = self.ask("query", &[("query", query)]);
        data["result"].as_array().unwrap().clone()
    }

    /// What its API has at this path.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        let encoded = encoded.extend_pairs(parameters).finish();
        let path = format!("/api/v1/{path}?{encoded}");
        let mut answer = request(self.address, "GET", &path, &[]).json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].take()
    }

    /// The kind of every family that it scraped.
    pub(crate) fn kinds(&self) -> BTreeMap<String, String> {
        let known = self.ask("targets/metadata", &[]);
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        known
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(one, "metric"), text(one, "type")))
            .collect()
    }

    /// Its own metrics.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&request(self.address, "GET", "/metrics", &[]).text())
    }

    /// What it complained of so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let text = self.output.text().to_lowercase();
        let is_bad = |line: &&str| line.contains("level=warn") || line.contains("level=error");
        text.lines().filter(is_bad).map(str::to_owned).collect()
    }
}

/// Starts each version, and returns when all are ready.
#[track_caller]
pub(crate) fn start_each(start: impl Fn(&Path) -> Prometheus) -> Vec<Prometheus> {
    let mut all: Vec<_> = servers().iter().map(|program| start(program)).collect();
    eventually(|| all.iter_mut().all(Prometheus::is_ready));
    all
}
