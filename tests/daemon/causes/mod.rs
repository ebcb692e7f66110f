//! Causes before symptoms: real applications that are sick or merely odd, on real servers.

#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

mod healthy;
mod holders;
mod locks;
mod pairs;
mod sick;
mod vacuum;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use poolwatch::demo::{ChildProcess, Cluster};
use serde_json::Value;

use crate::application::python;
use crate::check::check;
use crate::support::{Daemon, Output, eventually};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/fixtures/cases.py");

const TABLES: &str = "CREATE EXTENSION pg_stat_statements;
    CREATE TABLE orders (id int PRIMARY KEY, n int);
    INSERT INTO orders SELECT n, n FROM generate_series(1, 1000) n;
    CREATE TABLE events (id int PRIMARY KEY, customer int);
    INSERT INTO events SELECT n, n % 500 FROM generate_series(1, 20000) n; ANALYZE events;
    CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders);
    INSERT INTO lines SELECT n, 1 + n % 1000 FROM generate_series(1, 3000) n;
    CREATE INDEX ON lines (order_id);
    CREATE TABLE pace (seconds float8); INSERT INTO pace VALUES (0.005);
    CREATE TABLE begun (so bool);";

/// A server with its tables, and a daemon over it.
struct Ward {
    cluster: Cluster,
    daemon: Daemon,
}

/// A program that runs until this is dropped.
struct Running {
    process: ChildProcess,
    output: Output,
}

impl Ward {
    #[track_caller]
    fn new(server: &[(&str, &str)], settings: &str) -> Self {
        let builder = Cluster::builder();
        let builder =
            server.iter().fold(builder, |builder, (name, value)| builder.setting(name, value));
        let cluster = builder.start().unwrap();
        cluster.sql(TABLES).unwrap();
        let settings = format!(
            "servers: {{primary: {{url: '{}'}}}}
pools: {{web: {{workers: {{}}}}}}
workers: {{ttl: 60s}}
{settings}
",
            cluster.url("postgres")
        );
        let daemon = Daemon::with_settings(&settings).start();
        eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
        Self { cluster, daemon }
    }

    /// Starts an application, which reports to the daemon.
    #[track_caller]
    fn start(&self, case: &str) -> Running {
        let url = self.cluster.url("postgres").replace("postgresql:", "postgresql+psycopg:");
        let mut command = python();
        command.args([CASES, &url, case]).env("POOLWATCH_SOCKET", self.daemon.socket());
        let running = Running::of(&mut command);
        eventually(|| running.output.text().contains("begun"));
        running
    }

    /// A session that sends this and stays.
    #[track_caller]
    fn psql(&self, name: &str, sql: &str) -> Running {
        self.psql_at(&self.cluster.url("postgres"), name, sql)
    }

    /// The same at this address.
    #[track_caller]
    fn psql_at(&self, url: &str, name: &str, sql: &str) -> Running {
        let script = self.cluster.folder().with_extension(format!("{name}.sql"));
        std::fs::write(&script, format!("{sql}\n\\! sleep 3600\n")).unwrap();
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", url, "-f"]).arg(Path::new(&script)).env("PGAPPNAME", name);
        Running::of(&mut psql)
    }

    fn advice(&self) -> Vec<Value> {
        self.daemon.get("/health/detailed").json()["advice"].as_array().unwrap().clone()
    }

    /// The answer of `check`, which asks the daemon.
    #[track_caller]
    fn check(&self) -> Value {
        let file = self.daemon.settings_file();
        let settings = std::fs::read_to_string(&file).unwrap();
        let listens = format!("--web.listen-address={}", self.daemon.address());
        let (_, json) = check(&settings, file.parent().unwrap(), &[&listens, "--format", "json"]);
        serde_json::from_str(&json).unwrap()
    }

    /// The status page from the rule of the first card on; empty where there is none.
    fn first_card(&self) -> String {
        let page = self.daemon.get("/").text();
        let card = page.split_once("id=\"trouble-0\"");
        let rule = card.and_then(|(_, card)| card.split_once("<span class=\"note\">"));
        rule.map(|(_, rule)| rule.to_owned()).unwrap_or_default()
    }

    /// The advice, as soon as the first of it is of this rule and explains all these.
    #[track_caller]
    fn first_is(&self, rule: &str, consequences: &[&str]) -> Vec<Value> {
        self.becomes(|advice| is_first(advice, rule, consequences))
    }

    /// The advice, as soon as it is so; a reading may be another.
    #[track_caller]
    fn becomes(&self, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let advice = self.advice();
            if holds(&advice) {
                return advice;
            }
            assert!(began.elapsed() < Duration::from_mins(5), "it is another: {advice:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// True where the first is of this rule and explains all these.
fn is_first(advice: &[Value], rule: &str, consequences: &[&str]) -> bool {
    let is_explained = |of: &&str| {
        advice.iter().any(|one| one["rule"] == **of && one["explained_by"]["rule"] == rule)
    };
    advice.first().is_some_and(|first| first["rule"] == rule)
        && consequences.iter().all(is_explained)
}

impl Running {
    #[track_caller]
    fn of(command: &mut Command) -> Self {
        let (process, output) = Output::of(command);
        Self { process, output }
    }
}

fn text<'a>(advice: &'a Value, key: &str) -> &'a str {
    advice[key].as_str().unwrap()
}
