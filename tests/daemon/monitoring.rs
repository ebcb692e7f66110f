//! Debian's Prometheus and Alertmanager, with the shipped rules and routes, and somebody to be paged.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use poolwatch::demo::Process;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Output, eventually, free_port, request, try_request};

const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");

/// Somebody's pocket: keeps every message sent to it.
#[derive(Clone)]
pub(crate) struct Webhook {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Webhook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let webhook = Self { address, messages: Arc::default() };
        let receiving = webhook.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiving = receiving.clone();
                thread::spawn(move || receiving.receive(stream));
            }
        });
        webhook
    }

    /// The address of one receiver.
    fn url(&self, receiver: &str) -> String {
        format!("http://{}/{receiver}", self.address)
    }

    /// The messages with this status (`firing` or `resolved`) for one receiver.
    pub(crate) fn alerts(&self, receiver: &str, status: &str, name: &str) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        let sent = messages.iter().filter(|(path, _)| path == &format!("/{receiver}"));
        let alerts = sent.flat_map(|(_, body)| body["alerts"].as_array().unwrap().clone());
        let is_it =
            |alert: &Value| alert["status"] == status && alert["labels"]["alertname"] == name;
        alerts.filter(is_it).collect()
    }

    /// One request after the other, as long as the sender keeps the connection.
    fn receive(&self, stream: TcpStream) -> Option<()> {
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (path, length) = head(&mut reader)?;
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            self.messages.lock().unwrap().push((path, serde_json::from_slice(&body).ok()?));
            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
        }
    }
}

/// The path and the length of the body.
fn head(reader: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let length = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        })
        .last()?;
    Some((path, length))
}

/// Prometheus and Alertmanager over one target. Dropping it ends both.
pub(crate) struct Monitoring {
    prometheus: (Process, Output),
    alertmanager: (Process, Output),
    prometheus_address: SocketAddr,
    _folder: TempDir,
}

impl Monitoring {
    /// Watches this address with the shipped rules, every wait shortened to a second, and pages the webhook.
    #[track_caller]
    pub(crate) fn start(target: SocketAddr, webhook: &Webhook) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [alertmanager_address, prometheus_address] =
            [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let alertmanager = alertmanager(folder.path(), alertmanager_address, webhook);
        let prometheus =
            prometheus(folder.path(), prometheus_address, target, alertmanager_address);
        let mut monitoring = Self { prometheus, alertmanager, prometheus_address, _folder: folder };
        eventually(|| monitoring.is_ready(alertmanager_address));
        monitoring
    }

    #[track_caller]
    fn is_ready(&mut self, alertmanager_address: SocketAddr) -> bool {
        for (process, output) in [&mut self.prometheus, &mut self.alertmanager] {
            let ended = process.ended().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", output.text());
        }
        [self.prometheus_address, alertmanager_address].iter().all(|address| {
            try_request(*address, "GET", "/-/ready", &[]).is_some_and(|answer| answer.status == 200)
        })
    }

    /// The value of a query that has one result.
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        self.ask(query)["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Whether a query has any result.
    #[track_caller]
    pub(crate) fn answers(&self, query: &str) -> bool {
        let answer = self.ask(query);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().is_some_and(|results| !results.is_empty())
    }

    fn ask(&self, query: &str) -> serde_json::Value {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let path = format!("/api/v1/query?query={encoded}");
        request(self.prometheus_address, "GET", &path, &[]).json()
    }

    /// What both have printed, for a failed test.
    pub(crate) fn output(&self) -> String {
        self.prometheus.1.text() + &self.alertmanager.1.text()
    }
}

fn prometheus(
    folder: &Path,
    address: SocketAddr,
    target: SocketAddr,
    alertmanager: SocketAddr,
) -> (Process, Output) {
    let rules = fs::read_to_string(format!("{ALERTS}/rules.yml")).unwrap();
    fs::write(folder.join("rules.yml"), shortened(&rules)).unwrap();
    let settings = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
scrape_configs: [{{job_name: poolwatch, static_configs: [{{targets: ['{target}']}}]}}]
"
    );
    fs::write(folder.join("prometheus.yml"), settings).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
    Output::of(command.arg(format!("--web.listen-address={address}")))
}

fn alertmanager(folder: &Path, address: SocketAddr, webhook: &Webhook) -> (Process, Output) {
    let shipped = fs::read_to_string(format!("{ALERTS}/alertmanager.example.yml")).unwrap();
    fs::write(folder.join("alertmanager.yml"), pointed_at(webhook, &shortened(&shipped))).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", folder.join("alertmanager.yml").display()));
    command.arg(format!("--storage.path={}", folder.join("alertmanager").display()));
    command.arg(format!("--web.listen-address={address}"));
    Output::of(command.arg("--cluster.listen-address="))
}

/// The same rules or routes, but for how long they wait.
fn shortened(settings: &str) -> String {
    let waits = ["for:", "keep_firing_for:", "group_wait:", "group_interval:"];
    let shorten = |line: &str| {
        let (indentation, rest) = line.split_at(line.len() - line.trim_start().len());
        match waits.iter().find(|wait| rest.starts_with(*wait)) {
            Some(wait) => format!("{indentation}{wait} 1s\n"),
            None => format!("{line}\n"),
        }
    };
    settings.lines().map(shorten).collect()
}

/// The same routes, with the receivers' names but all of them here.
fn pointed_at(webhook: &Webhook, settings: &str) -> String {
    let (routes, receivers) = settings.split_once("receivers:\n").unwrap();
    let names = receivers.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
    let receivers = names.map(|name| {
        let url = webhook.url(name);
        format!("  - {{name: {name}, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}\n")
    });
    format!("{routes}receivers:\n{}", receivers.collect::<String>())
}
