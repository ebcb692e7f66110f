//! The example application under gunicorn, on a cluster of its own: a real `SQLAlchemy` pool to watch.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

use std::net::SocketAddr;
use std::process::Command;

use poolwatch::demo::{Cluster, Process};
use tempfile::TempDir;

use crate::support::{Answer, Output, eventually, free_port, request, try_request};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reddit-bot");

const ROLES: &str = "CREATE ROLE redditbot LOGIN;
    CREATE ROLE poolwatch LOGIN;
    GRANT pg_monitor TO poolwatch;
    CREATE DATABASE redditbot OWNER redditbot;";

/// The running application. Dropping it ends it, then its database.
pub(crate) struct Application {
    process: Process,
    output: Output,
    address: SocketAddr,
    _run: TempDir,
    pub(crate) cluster: Cluster,
}

impl Application {
    /// Starts it with these variables, `WORKERS` and the like, and returns when it answers.
    #[track_caller]
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let cluster = Cluster::builder().setting("max_connections", "200").start().unwrap();
        cluster.sql(ROLES).unwrap();
        let run = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        prepare();
        let mut serve = Command::new(format!("{FOLDER}/serve"));
        serve.env("DATABASE_URL", cluster.url_as("redditbot", "redditbot"));
        serve.env("BIND", address.to_string()).env("RUN_DIR", run.path());
        let (process, output) = Output::of(serve.envs(variables.iter().copied()));
        let mut application = Self { process, output, address, _run: run, cluster };
        eventually(|| application.answers());
        application
    }

    #[track_caller]
    fn answers(&mut self) -> bool {
        let ended = self.process.ended().unwrap();
        assert!(ended.is_none(), "the application ended: {ended:?}\n{}", self.output());
        try_request(self.address, "GET", "/health", &[]).is_some_and(|answer| answer.status == 200)
    }

    pub(crate) fn health(&self) -> String {
        format!("http://{}/health/database/pool", self.address)
    }

    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[])
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str) -> Answer {
        let answer = request(self.address, "POST", path, &[("Content-Length", "0")]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    }
}

/// Installs what it needs: a minute the first time, more than `eventually` waits.
#[track_caller]
fn prepare() {
    let prepared = Command::new(format!("{FOLDER}/serve")).arg("--prepare").output().unwrap();
    let said = String::from_utf8_lossy(&prepared.stderr);
    assert!(prepared.status.success(), "serve --prepare: {said}");
}
