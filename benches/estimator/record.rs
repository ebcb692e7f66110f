//! A workload as the server's statistics and its log saw it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use poolwatch::latency::{Moments, is_timed};

use crate::workloads::Workload;

/// How long a workload runs, in seconds: in a quarter of it chance alone moves the share above
/// 100 ms of `uniform` by half a point, which calls, mean and deviation cannot tell.
const SECONDS: usize = 120;
const LOG: &str = "data/log/all.csv";

pub(crate) struct Record {
    pub(crate) name: String,
    /// What every statement took by the log, in seconds, in rising order.
    pub(crate) durations: Vec<f64>,
    /// What the server kept of each statement, second by second.
    pub(crate) looks: Vec<HashMap<String, Moments>>,
}

/// A server that logs all durations.
pub(crate) struct Stage {
    cluster: Cluster,
}

impl Stage {
    pub(crate) fn start() -> Self {
        let settings = [
            ("logging_collector", "on"),
            ("log_destination", "csvlog"),
            ("log_filename", "all.log"),
            ("log_rotation_size", "0"),
            ("log_min_duration_statement", "0"),
        ];
        let builder = settings
            .iter()
            .fold(Cluster::builder(), |builder, (name, value)| builder.setting(name, value));
        let cluster = builder.start().unwrap();
        cluster.sql("CREATE EXTENSION pg_stat_statements; CREATE DATABASE app").unwrap();
        let hot = "CREATE TABLE hot AS SELECT id, 0 AS n FROM generate_series(1, 3) AS id";
        cluster.sql_in("app", hot).unwrap();
        let stage = Self { cluster };
        let initialized = stage.pgbench().args(["-i", "-q", "-s", "2", "app"]).output().unwrap();
        assert!(initialized.status.success(), "{}", String::from_utf8_lossy(&initialized.stderr));
        stage
    }

    fn pgbench(&self) -> Command {
        let mut command = Command::new("pgbench");
        command.env("PGHOST", self.cluster.folder()).env("PGUSER", "postgres");
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn record(&self, workload: &Workload) -> Record {
        self.cluster.sql("SELECT pg_stat_statements_reset()").unwrap();
        let logged = fs::metadata(self.cluster.folder().join(LOG)).unwrap().len();
        let mut looks = vec![self.look()];
        let began = Instant::now();
        let mut running = self.run(workload);
        while running.try_wait().unwrap().is_none() {
            let due = Duration::from_secs(looks.len() as u64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            looks.push(self.look());
        }
        looks.push(self.look());
        let text = fs::read(self.cluster.folder().join(LOG)).unwrap();
        let mut durations =
            durations(&String::from_utf8_lossy(&text[usize::try_from(logged).unwrap()..]));
        durations.sort_by(f64::total_cmp);
        Record { name: workload.name.to_owned(), durations, looks }
    }

    fn run(&self, workload: &Workload) -> Child {
        let mut pgbench = self.pgbench();
        pgbench.args(["-n", "-T", &SECONDS.to_string(), "-c", &workload.clients.to_string()]);
        if workload.rate > 0 {
            pgbench.args(["-R", &workload.rate.to_string()]);
        }
        for (number, (script, weight)) in workload.scripts.iter().enumerate() {
            if let Some(name) = script.strip_prefix("builtin ") {
                pgbench.args(["-b", name]);
                continue;
            }
            let file = self.cluster.folder().join(format!("{}-{number}.sql", workload.name));
            fs::write(&file, script).unwrap();
            pgbench.arg("-f").arg(format!("{}@{weight}", file.display()));
        }
        pgbench.arg("app").stdout(Stdio::null()).spawn().unwrap()
    }

    fn look(&self) -> HashMap<String, Moments> {
        let sql = "SELECT userid || '/' || queryid, calls, total_exec_time, min_exec_time,
                          max_exec_time, stddev_exec_time, replace(query, E'\\n', ' ')
                     FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
                    WHERE datname = 'app' AND toplevel";
        let answer = self.cluster.sql(sql).unwrap();
        let lines = answer.lines().map(|line| line.splitn(7, '|').collect::<Vec<_>>());
        let timed = lines.filter(|fields| fields.len() == 7 && is_timed(fields[6]));
        timed.map(|fields| (fields[0].to_owned(), moments(&fields[1..6], 1000.0))).collect()
    }
}

fn moments(fields: &[&str], unit: f64) -> Moments {
    let number = |at: usize| fields[at].parse::<f64>().unwrap() / unit;
    Moments {
        calls: fields[0].parse().unwrap(),
        total: number(1),
        shortest: number(2),
        longest: number(3),
        deviation: number(4),
        ..Moments::default()
    }
}

/// The durations of statements in a log, in seconds.
fn durations(csv: &str) -> Vec<f64> {
    let of_line = |fields: Vec<String>| {
        let message = fields.get(13).filter(|_| fields[2] == "app")?;
        let (duration, text) =
            message.strip_prefix("duration: ")?.split_once(" ms  statement: ")?;
        is_timed(text).then(|| duration.parse::<f64>().unwrap() / 1000.0)
    };
    rows(csv).into_iter().filter_map(of_line).collect()
}

/// The rows of a CSV text, in whose quotes may be commas, line ends and doubled quotes.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    rows
}

impl Record {
    /// Writes a line for each duration and each statement in each look.
    pub(crate) fn save(&self, folder: &Path) {
        let mut text = String::new();
        for seconds in &self.durations {
            writeln!(text, "duration {seconds}").unwrap();
        }
        for look in &self.looks {
            writeln!(text, "look").unwrap();
            for (key, moments) in look {
                let Moments { calls, total, shortest, longest, deviation, .. } = moments;
                writeln!(text, "{key} {calls} {total} {shortest} {longest} {deviation}").unwrap();
            }
        }
        fs::write(folder.join(&self.name), text).unwrap();
    }

    /// `None` where it was never recorded.
    pub(crate) fn load(folder: &Path, name: &str) -> Option<Self> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        let mut record = Self { name: name.to_owned(), durations: Vec::new(), looks: Vec::new() };
        for line in text.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            match fields[..] {
                ["duration", seconds] => record.durations.push(seconds.parse().unwrap()),
                ["look"] => record.looks.push(HashMap::new()),
                _ => {
                    let look = record.looks.last_mut().unwrap();
                    look.insert(fields[0].to_owned(), moments(&fields[1..], 1.0));
                }
            }
        }
        Some(record)
    }
}
