//! The example application under gunicorn, on a cluster of its own: a real `SQLAlchemy` pool to watch.
#![allow(dead_code, reason = "a kit: not every part is in use at every time")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use poolwatch::demo::{ChildProcess, Cluster};
use tempfile::TempDir;

use crate::support::{
    Answer, Daemon, Output, eventually, free_port, request, try_request, try_request_through,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reddit-bot");

const ROLES: &str = "CREATE ROLE redditbot LOGIN;
    CREATE ROLE poolwatch LOGIN;
    GRANT pg_monitor TO poolwatch;
    CREATE DATABASE redditbot OWNER redditbot;";

/// One server for all applications, which is filled with data once; it goes when the process does.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::builder().setting("max_connections", "300").start().unwrap();
    cluster.sql(ROLES).unwrap();
    cluster
});

/// The running application. Dropping it ends it.
pub(crate) struct Application {
    process: ChildProcess,
    output: Output,
    address: SocketAddr,
    run: TempDir,
    pub(crate) cluster: &'static Cluster,
}

impl Application {
    /// Starts it with these variables, `WORKERS` and the like, and returns when it answers.
    #[track_caller]
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        Self::serve("", variables)
    }

    /// The same with the client on: its workers report the pool `web` to its own `socket()`.
    #[track_caller]
    pub(crate) fn start_watched(variables: &[(&str, &str)]) -> Self {
        Self::serve("&plugin=poolwatch&poolwatch_pool=web", variables)
    }

    /// The same on a server that no other test touches.
    #[track_caller]
    pub(crate) fn start_apart(variables: &[(&str, &str)]) -> Self {
        Self::serve_on(apart(), "&plugin=poolwatch&poolwatch_pool=web", variables)
    }

    /// The same without the client.
    #[track_caller]
    pub(crate) fn start_apart_without_client(variables: &[(&str, &str)]) -> Self {
        Self::serve_on(apart(), "", variables)
    }

    #[track_caller]
    fn serve(options: &str, variables: &[(&str, &str)]) -> Self {
        Self::serve_on(&CLUSTER, options, variables)
    }

    #[track_caller]
    fn serve_on(cluster: &'static Cluster, options: &str, variables: &[(&str, &str)]) -> Self {
        let run = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        prepare();
        let url = cluster.url_as("redditbot", "redditbot");
        let mut serve = Command::new(format!("{FOLDER}/serve"));
        serve.env("DATABASE_URL", format!("{url}&application_name={}{options}", name(address)));
        serve.env("BIND", address.to_string()).env("RUN_DIR", run.path());
        serve.env("POOLWATCH_SOCKET", run.path().join("poolwatch.sock"));
        let (process, output) = Output::of(serve.envs(variables.iter().copied()));
        let mut application = Self { process, output, address, run, cluster };
        eventually(|| application.answers());
        application
    }

    #[track_caller]
    fn answers(&mut self) -> bool {
        let ended = self.process.ended().unwrap();
        assert!(ended.is_none(), "the application ended: {ended:?}\n{}", self.output());
        try_request(self.address, "GET", "/health", &[]).is_some_and(|answer| answer.status == 200)
    }

    /// Asks it to end, and returns when it has.
    pub(crate) fn stop(&mut self) {
        self.process.signal("TERM").unwrap();
        eventually(|| self.process.ended().unwrap());
    }

    /// What its sessions are called on the server.
    pub(crate) fn name(&self) -> String {
        name(self.address)
    }

    /// Where it keeps what belongs to this run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.run.path().to_owned()
    }

    /// A daemon over it that its workers report to, with these settings beside its database and its
    /// pool.
    #[track_caller]
    pub(crate) fn daemon(&self, more: &str) -> Daemon {
        let settings = format!(
            "servers: {{primary: {{url: '{}'}}}}\npools: {{web: {{workers: {{}}}}}}\n{more}\n",
            self.cluster.url_as("poolwatch", "redditbot"),
        );
        Daemon::with_settings(&settings)
            .variable("POOLWATCH__WORKERS__SOCKET", self.socket().to_str().unwrap())
            .start()
    }

    /// Where its workers report, when they do.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("poolwatch.sock")
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
    /// As `get`, of an application whose workers may be about to end.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        try_request(self.address, "GET", path, &[])
    }

    /// The workers that there are now, by pid.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let known = self.get("/workers").json();
        let workers = known["workers"].as_array().unwrap().iter();
        workers.map(|worker| pid(&worker["pid"])).collect()
    }

    /// Asks one worker, on the socket that is its own.
    #[track_caller]
    pub(crate) fn ask(&self, worker: u32, method: &str, path: &str) -> Answer {
        let socket = self.folder().join(format!("worker-{worker}.sock"));
        try_request_through(&socket, method, path)
            .unwrap_or_else(|| panic!("worker {worker} does not answer {path}\n{}", self.output()))
    }

    /// Runs phases of the example's load, one after the other.
    #[track_caller]
    pub(crate) fn load(&self, phases: &str, seconds: u32) {
        let loaded = self.load_command(phases, seconds).output().unwrap();
        assert!(loaded.status.success(), "{loaded:?}\n{}", self.output());
    }

    /// Starts a phase of the load; SIGTERM ends it, and then it puts everything right.
    pub(crate) fn start_load(&self, phase: &str, seconds: u32) -> (ChildProcess, Output) {
        Output::of(&mut self.load_command(phase, seconds))
    }

    fn load_command(&self, phases: &str, seconds: u32) -> Command {
        let mut load = python();
        load.arg(format!("{FOLDER}/load.py")).args(["--phases", phases, "--target"]);
        load.arg(format!("http://{}", self.address));
        load.arg("--phase-seconds").arg(seconds.to_string());
        load
    }
}

/// Python with the client and all that the application needs.
pub(crate) fn python() -> Command {
    prepare();
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/reddit-bot/bin/python"))
}

/// A process as JSON has it.
#[track_caller]
pub(crate) fn pid(value: &serde_json::Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// A server that no other test touches.
fn apart() -> &'static Cluster {
    let cluster = Cluster::builder().setting("max_connections", "300").start().unwrap();
    cluster.sql(ROLES).unwrap();
    cluster.sql_in("redditbot", "CREATE EXTENSION pg_stat_statements").unwrap();
    // It goes when the process does, as the shared one.
    Box::leak(Box::new(cluster))
}

fn name(address: SocketAddr) -> String {
    format!("reddit-bot-{}", address.port())
}

/// Installs what it needs: a minute the first time, more than `eventually` waits.
#[track_caller]
fn prepare() {
    let prepared = Command::new(format!("{FOLDER}/serve")).arg("--prepare").output().unwrap();
    let said = String::from_utf8_lossy(&prepared.stderr);
    assert!(prepared.status.success(), "serve --prepare: {said}");
}
