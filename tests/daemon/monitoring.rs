//! Prometheus and Alertmanager with the shipped rules and routes, and a receiver for the notifications.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use poolwatch::demo::ChildProcess;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::prometheus::{self, Prometheus};
use crate::support::{Output, eventually, free_port, try_request, version};

const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");

/// A receiver of notifications, which keeps every message.
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

/// Each version of Prometheus over one target, and Alertmanager over them. Dropping it ends all.
pub(crate) struct Monitoring {
    /// Their alerts have their version as the label `prometheus`.
    pub(crate) prometheuses: Vec<Prometheus>,
    alertmanager: (ChildProcess, Output),
    _folder: TempDir,
}

impl Monitoring {
    /// Watches this address with the shipped rules, every wait shortened to a second, and pages the webhook.
    #[track_caller]
    pub(crate) fn start(target: SocketAddr, webhook: &Webhook) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut alertmanager = alertmanager(folder.path(), address, webhook);
        eventually(|| is_ready(&mut alertmanager, address));
        let rules = fs::read_to_string(format!("{ALERTS}/rules.yml")).unwrap();
        let file = folder.path().join("rules.yml");
        fs::write(&file, shortened(&rules)).unwrap();
        let prometheuses =
            prometheus::start_each(|program| watching(program, target, &file, address));
        Self { prometheuses, alertmanager, _folder: folder }
    }

    /// Asks each version; `true` if all agree.
    pub(crate) fn all(&self, is_so: impl Fn(&Prometheus) -> bool) -> bool {
        self.prometheuses.iter().all(is_so)
    }
}

#[track_caller]
fn is_ready((process, output): &mut (ChildProcess, Output), address: SocketAddr) -> bool {
    let ended = process.ended().unwrap();
    assert!(ended.is_none(), "Alertmanager ended: {ended:?}\n{}", output.text());
    try_request(address, "GET", "/-/ready", &[]).is_some_and(|answer| answer.status == 200)
}

fn watching(
    program: &Path,
    target: SocketAddr,
    rules: &Path,
    alertmanager: SocketAddr,
) -> Prometheus {
    let settings = json!({
        "global": {
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "evaluation_interval": "500ms",
            "external_labels": {"prometheus": version(program)},
        },
        "rule_files": [rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": "poolwatch", "static_configs": [{"targets": [target]}]}],
    });
    Prometheus::start(program, &[], &settings)
}

fn alertmanager(folder: &Path, address: SocketAddr, webhook: &Webhook) -> (ChildProcess, Output) {
    let shipped = fs::read_to_string(format!("{ALERTS}/alertmanager.example.yml")).unwrap();
    fs::write(folder.join("alertmanager.yml"), pointed_at(webhook, &shortened(&shipped))).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", folder.join("alertmanager.yml").display()));
    command.arg(format!("--storage.path={}", folder.join("alertmanager").display()));
    command.arg(format!("--web.listen-address={address}"));
    Output::of(command.arg("--cluster.listen-address="))
}

/// The same rules or routes with every wait shortened to a second.
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

/// The same routes; each receiver keeps its name and becomes the webhook.
fn pointed_at(webhook: &Webhook, settings: &str) -> String {
    let (routes, receivers) = settings.split_once("receivers:\n").unwrap();
    let names = receivers.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
    let receivers = names.map(|name| {
        let url = webhook.url(name);
        format!("  - {{name: {name}, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}\n")
    });
    format!("{routes}receivers:\n{}", receivers.collect::<String>())
}
