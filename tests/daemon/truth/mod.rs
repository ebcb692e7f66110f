//! What is exported of an application's workers is what happened in them: gunicorn's preloaded workers
//! under load, killed and replaced, with the real daemon beside them.

mod crowd;
mod endpoints;
mod kept;
mod shared;
mod witness;

use std::fmt::Debug;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::kept::{Counts, Gauges, KEEPER, of_all, web};
use self::witness::Witness;
use crate::application::{Application, pid};
use crate::support::{Daemon, eventually};

/// How long the figures of a silent worker are shown, and the time between two samples.
/// A worker that is slow must not count as silent.
const TTL: Duration = Duration::from_mins(10);
const SAMPLE: Duration = Duration::from_millis(250);

/// An application whose workers keep the truth, and a daemon that they report to.
struct Stage {
    application: Application,
    daemon: Daemon,
}

impl Stage {
    #[track_caller]
    fn set(variables: &[(&str, &str)]) -> Self {
        let keeper = [("GUNICORN_CONFIG", KEEPER), ("POOL_TIMEOUT", "10")];
        let application = Application::start_watched(&[&keeper, variables].concat());
        let daemon = daemon_for(&application);
        Self { application, daemon }
    }

    /// Ends the daemon and starts it again.
    #[track_caller]
    fn restart_daemon(self) -> Self {
        let Self { application, daemon } = self;
        assert!(daemon.terminate().0.success());
        let daemon = daemon_for(&application);
        Self { application, daemon }
    }

    /// Waits until everything that happened is counted, and nothing else.
    #[track_caller]
    fn counts_agree(&self) {
        agree(|| {
            (Counts::exported(&self.daemon.metrics()), Counts::from_application(&self.application))
        });
    }

    /// Waits until the gauges are what these workers and the server know.
    #[track_caller]
    fn gauges_agree(&self, workers: &[u32]) {
        agree(|| {
            let exported = Gauges::exported(&self.daemon.metrics());
            (exported, Gauges::from_application(&self.application, workers))
        });
    }

    /// The pool `web` in the answer of the pool endpoint.
    fn health(&self) -> Value {
        let body = self.daemon.get("/health/database/pool").json();
        let web = body["pools"].as_array().unwrap().iter().find(|pool| pool["pool"] == "web");
        web.cloned().unwrap_or_default()
    }

    /// The workers that the daemon knows, by pid.
    fn exported_workers(&self) -> Vec<u32> {
        let health = self.health();
        let workers = health["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
        workers.iter().map(|worker| pid(&worker["pid"])).collect()
    }

    #[track_caller]
    fn none_is_orphaned(&self) {
        let metrics = self.daemon.metrics();
        let orphans: Vec<_> = metrics.all("pg_sessions_by_owner", &[("owner", "orphan")]).collect();
        assert!(orphans.is_empty(), "{orphans:?}");
    }

    /// Waits for so many workers, and has each use its pool, for before that it is silent.
    #[track_caller]
    fn awake(&self, number: usize) -> Vec<u32> {
        let workers = eventually(|| {
            let workers = self.application.workers();
            (workers.len() == number).then_some(workers)
        });
        for worker in &workers {
            assert_eq!(self.application.ask(*worker, "GET", "/api/posts/count").status, 200);
        }
        agree(|| (self.exported_workers(), workers.clone()));
        workers
    }

    /// Sends a statement to the server about the application's sessions.
    fn sessions(&self, statement: &str) -> String {
        let of_it = format!("application_name = '{}'", self.application.name());
        self.application.cluster.sql(&format!("{statement} {of_it}")).unwrap().trim().to_owned()
    }
}

#[track_caller]
fn daemon_for(application: &Application) -> Daemon {
    application.daemon(&format!(
        "sampling: {{pools: {}ms}}\nworkers: {{ttl: {}s}}",
        SAMPLE.as_millis(),
        TTL.as_secs()
    ))
}

/// Waits until what is exported is what is true, and shows both if it never is.
#[track_caller]
fn agree<T: Debug + PartialEq>(mut both: impl FnMut() -> (T, T)) {
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let (exported, truth) = both();
        if exported == truth {
            return;
        }
        assert!(Instant::now() < deadline, "exported: {exported:?}\n   truth: {truth:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_exported_of_four_workers_is_what_happened() {
    let mut stage = Stage::set(&[("WORKERS", "4")]);
    let witness = Witness::begin(stage.daemon.address());
    let workers = stage.awake(4);

    stage.application.load("breathing,n_plus_one,unpaginated", 3);
    stage.counts_agree();
    stage.gauges_agree(&workers);
    one_hot_worker_is_seen(&stage, &workers);
    failures_and_commits_are_counted(&stage, workers[1]);
    a_killed_worker_goes_and_its_counts_stay(&stage, workers[0]);

    let workers = stage.awake(4);
    stage.application.load("healthy", 2);
    stage.counts_agree();
    stage.gauges_agree(&workers);
    stage.application.stop();
    stage.gauges_agree(&[]);
    stage.counts_agree();
    witness.conclude();
}

#[track_caller]
fn failures_and_commits_are_counted(stage: &Stage, worker: u32) {
    let ask = |method, path| stage.application.ask(worker, method, path).status;
    // A statement that is cancelled.
    thread::scope(|scope| {
        let slow = scope.spawn(|| ask("POST", "/troubles/slow-query?seconds=10"));
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
            WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%' AND";
        eventually(|| stage.sessions(cancel) == "1");
        assert_eq!(slow.join().unwrap(), 503);
    });
    // Connections that the server ends.
    stage.sessions("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE");
    assert_eq!(ask("GET", "/api/posts/count"), 200);
    stage.counts_agree();
    let commits = || web(&stage.daemon.metrics(), "db_commit_duration_seconds_count");
    let before = commits();
    for _ in 0..3 {
        assert_eq!(ask("POST", "/troubles/indexes/idx_client_created/restore"), 200);
    }
    stage.counts_agree();
    assert_eq!(commits(), before + 3);
    let metrics = stage.daemon.metrics();
    assert_eq!(web(&metrics, "db_query_errors_total"), 1);
    assert!(web(&metrics, "db_pool_connections_invalidated_total") >= 1);
}

#[track_caller]
fn one_hot_worker_is_seen(stage: &Stage, workers: &[u32]) {
    let Stage { application, daemon } = stage;
    let (hot, others) = (workers[3], &workers[..3]);
    let began = Instant::now();
    for (count, other) in (1..).zip(others) {
        let leaked = application.ask(*other, "POST", &format!("/troubles/leak?count={count}"));
        assert_eq!(leaked.status, 200, "{}", leaked.text());
    }
    thread::scope(|scope| {
        let hold = "/troubles/hold?connections=20&seconds=60";
        let holder = scope.spawn(|| application.ask(hot, "POST", hold).status);
        eventually(|| of_all(application)[&hot].checked_out() == 20);
        stage.gauges_agree(workers);
        let open = stage.sessions("SELECT count(*) FROM pg_stat_activity WHERE");
        assert_eq!(open, (web(&daemon.metrics(), "db_pool_checked_in") + 26).to_string());
        critical_though_the_sum_is_low(stage, hot, began);
        callers_wait_in_vain(stage, hot);
        for worker in workers {
            assert_eq!(application.ask(*worker, "POST", "/troubles/release").status, 200);
        }
        assert_eq!(holder.join().unwrap(), 200);
    });
    stage.gauges_agree(workers);
    stage.counts_agree();
    let now = |name: &str| daemon.value(name, &[("pool", "web")]);
    assert_eq!(now("db_pool_busiest_worker_utilization_ratio"), Some(0.0));
    assert_eq!(now("db_pool_peak_utilization_ratio"), Some(1.0), "remembered for a minute");
}

#[track_caller]
fn critical_though_the_sum_is_low(stage: &Stage, hot: u32, began: Instant) {
    let metrics = stage.daemon.metrics();
    let now = |name: &str| metrics.value(name, &[("pool", "web")]);
    assert_eq!(now("db_pool_busiest_worker_utilization_ratio"), Some(1.0));
    assert_eq!(now("db_pool_utilization_ratio"), Some(26.0 / 80.0));
    for (status, value) in [("healthy", 0.0), ("warning", 0.0), ("critical", 1.0)] {
        let shown = metrics.value("db_pool_status", &[("pool", "web"), ("status", status)]);
        assert_eq!(shown, Some(value), "{status}");
    }
    let oldest = now("db_pool_oldest_checkout_seconds").unwrap();
    assert!(oldest > 0.0 && oldest <= began.elapsed().as_secs_f64(), "{oldest}");

    let top = stage.daemon.get("/health/database/pool").json();
    for (key, value) in [
        ("pool_size", 20.0),
        ("max_overflow", 60.0),
        ("capacity", 80.0),
        ("checked_out", 26.0),
        ("checked_in", now("db_pool_checked_in").unwrap()),
        ("overflow", now("db_pool_overflow").unwrap()),
        ("utilization_percent", 32.5),
        ("busiest_worker_utilization_percent", 100.0),
    ] {
        assert_eq!(top[key].as_f64(), Some(value), "{key} in {top:#}");
    }
    assert_eq!((&top["pool"], &top["status"]), (&"web".into(), &"critical".into()));
    assert!(!top["recommendations"].as_array().unwrap().is_empty(), "{top:#}");
    each_worker_is_listed(stage, hot);
}

/// With its pid, its figures and their age.
#[track_caller]
fn each_worker_is_listed(stage: &Stage, hot: u32) {
    let (health, all) = (stage.health(), of_all(&stage.application));
    let workers = health["workers"].as_array().unwrap();
    assert_eq!((workers.len(), &health["source"]), (4, &"workers".into()));
    for worker in workers {
        let pid = pid(&worker["pid"]);
        assert_eq!(worker["checked_out"], all[&pid].checked_out(), "{worker:#}");
        assert_eq!((&worker["pool_size"], &worker["capacity"]), (&5.into(), &20.into()));
        assert_eq!(worker["status"], if pid == hot { "critical" } else { "healthy" });
        assert_eq!(worker["app"], "reddit-bot");
        let age = worker["age_seconds"].as_f64().unwrap();
        assert!((0.0..=TTL.as_secs_f64()).contains(&age), "{worker:#}");
    }
}

#[track_caller]
fn callers_wait_in_vain(stage: &Stage, hot: u32) {
    let pending = || web(&stage.daemon.metrics(), "db_pool_pending");
    thread::scope(|scope| {
        let call = || stage.application.ask(hot, "GET", "/api/posts/count").status;
        let callers = [(); 3].map(|()| scope.spawn(call));
        eventually(|| pending() == 3);
        assert_eq!(callers.map(|caller| caller.join().unwrap()), [503; 3]);
    });
    agree(|| (web(&stage.daemon.metrics(), "db_pool_acquire_timeouts_total"), 3));
    eventually(|| pending() == 0);
    let acquired = [("pool", "web"), ("le", "5")];
    let metrics = stage.daemon.metrics();
    let within = metrics.value("db_pool_acquire_duration_seconds_bucket", &acquired).unwrap();
    let all = web(&metrics, "db_pool_acquire_duration_seconds_count");
    assert!(all as f64 - within >= 3.0, "the three waits of ten seconds are in the histogram");
}

#[track_caller]
fn a_killed_worker_goes_and_its_counts_stay(stage: &Stage, killed: u32) {
    let before = Counts::exported(&stage.daemon.metrics());
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -KILL {killed}")])
            .status()
            .unwrap()
            .success()
    );
    eventually(|| !stage.exported_workers().contains(&killed));
    assert_eq!(Counts::exported(&stage.daemon.metrics()), before);
    eventually(|| {
        let workers = stage.application.workers();
        workers.len() == 4 && !workers.contains(&killed)
    });
    stage.counts_agree();
}

#[test]
fn workers_that_restart_all_the_time_are_counted_to_the_last() {
    let often = ("GUNICORN_CMD_ARGS", "--max-requests 20 --max-requests-jitter 10");
    let mut stage = Stage::set(&[("WORKERS", "4"), often]);
    let witness = Witness::begin(stage.daemon.address());
    let paths = ["/api/users?page_size=20", "/api/posts/count", "/api/configs?loading=lazy"];
    thread::scope(|scope| {
        for path in paths {
            let application = &stage.application;
            // Whoever is just leaving may not answer.
            scope.spawn(move || {
                while of_all(application).len() < 12 {
                    application.try_get(path);
                }
            });
        }
        scope.spawn(|| {
            while of_all(&stage.application).len() < 12 {
                stage.none_is_orphaned();
                thread::sleep(Duration::from_millis(200));
            }
        });
    });
    stage.none_is_orphaned();
    assert!(stage.daemon.metrics().all("pg_sessions_by_owner", &[]).next().is_some());
    stage.counts_agree();
    stage.application.stop();
    stage.gauges_agree(&[]);
    stage.counts_agree();
    let lazy = web(&stage.daemon.metrics(), "db_n_plus_one_checkouts_total");
    assert!(lazy > 0);
    witness.conclude();
}
