//! The CPU time of a server whose processes can be seen in `/proc`: on the same machine, or in the
//! same process namespace.
//!
//! The server's first process has its own time and that of the children it has buried; the living
//! have theirs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tokio::time::timeout;

use super::Failure;
use super::collector::Error;
use crate::collectors::SERVER_CPU;
use crate::metric::Family;
use crate::postgres::{Database, Optional, ReducibleStatement, Reductions};
use crate::reading::{Reading, ServerResources};

const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Ticks a second in `/proc`, the same on every architecture that is supported.
const TICKS: f64 = 100.0;
/// The largest difference, in seconds, between the two clocks' times of a process' start.
const TOLERANCE: f64 = 2.0;

/// Reads one server's CPU time.
#[derive(Debug)]
pub struct ServerCpu {
    database: Arc<Database>,
    /// The first process, and the highest time it and its children were seen with: a child that
    /// ends between two samples is for a moment in neither place.
    last: Option<(u32, f64)>,
    reductions: Reductions,
}

impl ServerCpu {
    /// Reads the CPU time of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, last: None, reductions: Reductions::default() }
    }

    /// Reads once; nothing, when the server's processes cannot be seen.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let session = timeout(READ_TIMEOUT, self.session()).await;
        let session = session.map_err(|_| Error::Slow(READ_TIMEOUT.as_secs()))??;
        let Some((session, since)) = session else {
            let hints = self.reductions.tell(self.database.name(), SERVER_CPU.name);
            return Ok(Reading { hints, ..Reading::default() });
        };
        let Some(first) = first_process(session, since) else {
            let hint = "the server's processes cannot be seen, so its CPU time is not known: run \
                        poolwatch beside it, in its process namespace";
            return Ok(Reading { hints: vec![hint.to_owned()], ..Reading::default() });
        };
        let resources = self.measure(first);
        Ok(Reading { families: families(resources), resources, ..Reading::default() })
    }

    /// The process that serves this connection, and when it began; `None` where the server lacks
    /// what tells of it.
    async fn session(&mut self) -> Result<Option<(u32, f64)>, Failure> {
        let mut connection = self.database.acquire().await?;
        let rows = self.reductions.rows(&mut connection, SESSION, |query| query).await;
        let rows = rows.map_err(Error::from)?;
        let Some(row) = rows.as_ref().and_then(|rows| rows.first()) else { return Ok(None) };
        let session = row.try_get::<Option<i32>, _>(0).map_err(Error::from)?;
        let since = row.try_get::<Option<f64>, _>(1).map_err(Error::from)?;
        let session = session.and_then(|session| u32::try_from(session).ok());
        Ok(session.zip(since))
    }

    fn measure(&mut self, first: u32) -> ServerResources {
        let before = self.last.filter(|(last, _)| *last == first).map_or(0.0, |(_, cpu)| cpu);
        let cpu_seconds = cpu_of_all(first).map(|cpu| cpu.max(before));
        self.last = cpu_seconds.map(|cpu| (first, cpu));
        ServerResources { cpu_seconds, cores: cores(first), ..ServerResources::default() }
    }
}

fn families(figures: ServerResources) -> Vec<Family> {
    let table = &SERVER_CPU.tables[0];
    let figures = [figures.cpu_seconds, figures.cores];
    let built = table.columns.iter().zip(figures).map(|(column, figure)| {
        let mut family = Family::new(column.kind, table.family(column), column.help);
        family.sample(&[], figure);
        family
    });
    built.collect()
}

const SESSION: ReducibleStatement<'static> = ReducibleStatement {
    sql: "SELECT pid, extract(epoch FROM backend_start)::float8
            FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    optional: Optional::These(&[]),
    gives: "pg_server_cpu_*",
};

/// The part of `/proc/PID/stat` that is needed.
#[derive(Debug, PartialEq)]
struct ProcessStat {
    name: String,
    parent: u32,
    /// Own time, then that of buried children; user and system each, in ticks.
    ticks: [u64; 4],
    /// In ticks since the machine began.
    start: u64,
}

impl ProcessStat {
    fn from_pid(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name is in brackets and may hold brackets.
    fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once(" (")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent: u32::try_from(number(4)?).ok()?,
            ticks: [number(14)?, number(15)?, number(16)?, number(17)?],
            start: number(22)?,
        })
    }

    fn cpu(&self) -> f64 {
        self.ticks.iter().sum::<u64>() as f64 / TICKS
    }
}

/// The parent of the process that serves a session. Its start time must agree with the server's: so
/// it is no process of the same pid in another namespace or on another machine.
fn first_process(session: u32, since: f64) -> Option<u32> {
    let process = ProcessStat::from_pid(session)?;
    let machine = machine_start(&fs::read_to_string("/proc/stat").ok()?)?;
    let began = machine + process.start as f64 / TICKS;
    let same = (began - since).abs() <= TOLERANCE && process.parent > 0;
    let parent = ProcessStat::from_pid(process.parent)?;
    (same && parent.name == process.name).then_some(process.parent)
}

fn machine_start(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn cpu_of_all(first: u32) -> Option<f64> {
    let own = ProcessStat::from_pid(first)?.cpu();
    let children = children(first).into_iter().filter_map(ProcessStat::from_pid);
    Some(own + children.map(|child| child.cpu()).sum::<f64>())
}

fn children(first: u32) -> Vec<u32> {
    if let Ok(text) = fs::read_to_string(format!("/proc/{first}/task/{first}/children")) {
        return text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .filter(|pid| ProcessStat::from_pid(*pid).is_some_and(|process| process.parent == first))
        .collect()
}

/// The limit of the server's cgroup or of one above it; else the cores of the machine.
fn cores(first: u32) -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let machine = stat.lines().filter(|line| is_core(line)).count() as f64;
    Some(quota(first).map_or(machine, |quota| quota.min(machine)))
}

fn is_core(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn quota(first: u32) -> Option<f64> {
    let groups = fs::read_to_string(format!("/proc/{first}/cgroup")).ok()?;
    quota_of(&groups, std::path::Path::new("/sys/fs/cgroup"))
}

/// The least limit of these groups and those above them, of either version of cgroups.
fn quota_of(groups: &str, mount: &std::path::Path) -> Option<f64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim().trim_start_matches('/'));
        let limit = |group: &std::path::Path| -> Option<f64> {
            if controllers.is_empty() {
                return parse_quota(&fs::read_to_string(mount.join(group).join("cpu.max")).ok()?);
            }
            // Of version 1, and its tree of its own: `cpu`, perhaps together with `cpuacct`.
            let read = |name: &str| {
                let trees =
                    [controllers, "cpu"].map(|tree| mount.join(tree).join(group).join(name));
                trees.iter().find_map(|file| fs::read_to_string(file).ok())
            };
            let (quota, period) = (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?);
            parse_quota(&format!("{} {}", quota.trim(), period.trim()))
        };
        let is_cpu = controllers.is_empty() || controllers.split(',').any(|one| one == "cpu");
        let above = std::path::Path::new(path).ancestors().filter(|_| is_cpu);
        above.filter_map(limit).reduce(f64::min)
    });
    limits.reduce(f64::min)
}

/// `200000 100000` is two cores; `max 100000` and `-1 100000` are no limit.
fn parse_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let cores = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
    Some(cores).filter(|cores| *cores > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4 1 0 0 0 10 20 30 40 20 0 1 0 555 1 1";
        let process = ProcessStat::parse(text).unwrap();
        assert_eq!((process.name.as_str(), process.parent, process.start), ("a) b (c", 3, 555));
        assert!((process.cpu() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_quota_is_in_cores() {
        assert_eq!(parse_quota("150000 100000\n"), Some(1.5));
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("-1 100000"), None);
    }

    #[test]
    fn the_least_quota_of_either_version_counts() {
        let mount = tempfile::tempdir().unwrap();
        let write = |group: &str, files: &[(&str, &str)]| {
            let group = mount.path().join(group);
            fs::create_dir_all(&group).unwrap();
            for (name, text) in files {
                fs::write(group.join(name), text).unwrap();
            }
        };
        let of = |quota| [("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", "100000\n")];
        write("cpu,cpuacct/docker", &of("150000\n"));
        write("cpu,cpuacct/docker/a", &of("-1\n"));
        write("slice/service", &[("cpu.max", "max 100000\n")]);
        write("slice", &[("cpu.max", "300000 100000\n")]);
        let first = "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n";
        assert_eq!(quota_of(first, mount.path()), Some(1.5));
        assert_eq!(quota_of("0::/slice/service\n", mount.path()), Some(3.0));
        assert_eq!(quota_of("0::/other\n", mount.path()), None);
    }

    #[test]
    fn this_process_is_not_a_server() {
        assert_eq!(first_process(std::process::id(), 0.0), None);
    }
}
