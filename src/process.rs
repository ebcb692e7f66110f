//! The daemon itself as the kernel sees it, and the machine it runs on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use procfs::process::{LimitValue, Process};
use procfs::{Current, LoadAverage, Meminfo, ProcResult, WithCurrentSystemInfo};
use serde::Serialize;

use crate::metric::Family;

/// The daemon's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, with `-modified` when the sources were others; empty when that is not known.
pub(crate) const REVISION: &str = env!("POOLWATCH_REVISION");
/// The compiler that built it.
pub(crate) const RUST_VERSION: &str = env!("POOLWATCH_RUSTC");

/// The resources that the daemon uses. What the kernel does not report is absent.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Usage {
    /// User and system time since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Memory held in RAM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_memory_bytes: Option<u64>,
    /// Address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_memory_bytes: Option<u64>,
    /// The limit on address space; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_memory_max_bytes: Option<u64>,
    /// Open file descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_fds: Option<u64>,
    /// The limit on open file descriptors; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fds: Option<u64>,
    /// Threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// The time at which the process began, in seconds since 1970; not shown in JSON, where times
    /// are RFC 3339.
    #[serde(skip)]
    pub start_time_seconds: Option<f64>,
}

impl Usage {
    /// The usage of this process now.
    pub(crate) fn now() -> Self {
        Process::myself().map(|process| Self::from_process(&process)).unwrap_or_default()
    }

    /// The usage of another process now; absent when there is none of that id that may be seen.
    pub(crate) fn from_pid(pid: i32) -> Option<Self> {
        Process::new(pid).ok().map(|process| Self::from_process(&process))
    }

    fn from_process(process: &Process) -> Self {
        let mut usage = Self { open_fds: process.fd_count().ok().map(wide), ..Self::default() };
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second() as f64;
            usage.cpu_seconds = Some((stat.utime + stat.stime) as f64 / ticks);
            usage.resident_memory_bytes = Some(stat.rss_bytes().get());
            usage.virtual_memory_bytes = Some(stat.vsize);
            usage.threads = u64::try_from(stat.num_threads).ok();
            usage.start_time_seconds = boot_time().map(|boot| boot + stat.starttime as f64 / ticks);
        }
        if let Ok(limits) = process.limits() {
            usage.max_fds = limit(limits.max_open_files.soft_limit);
            usage.virtual_memory_max_bytes = limit(limits.max_address_space.soft_limit);
        }
        usage
    }
}

fn wide(count: usize) -> u64 {
    count as u64
}

fn limit(value: LimitValue) -> Option<u64> {
    match value {
        LimitValue::Value(value) => Some(value),
        LimitValue::Unlimited => None,
    }
}

/// The time at which the machine began, in seconds since 1970. Read once: a corrected clock would
/// move it.
fn boot_time() -> Option<f64> {
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    BOOT.get_or_init(|| procfs::boot_time_secs().ok()).map(|seconds| seconds as f64)
}

/// The machine as it is now. What the kernel does not report is absent.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Machine {
    /// The mean number of processes that run or wait to, over 1, 5 and 15 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_average: Option<[f64; 3]>,
    /// Processors this process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<u64>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Memory that could be given to a process without swapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
}

impl Machine {
    /// The usage of this process now.
    pub(crate) fn now() -> Self {
        let memory: ProcResult<Meminfo> = Meminfo::current();
        Self {
            load_average: LoadAverage::current()
                .ok()
                .map(|load| [load.one, load.five, load.fifteen].map(hundredths)),
            cpu_cores: std::thread::available_parallelism().ok().map(|cores| wide(cores.get())),
            memory_total_bytes: memory.as_ref().ok().map(|memory| memory.mem_total),
            memory_available_bytes: memory.ok().and_then(|memory| memory.mem_available),
        }
    }
}

/// The kernel gives two digits; `f32` to `f64` would show seven.
fn hundredths(load: f32) -> f64 {
    (f64::from(load) * 100.0).round() / 100.0
}

/// Faults of a library or of poolwatch itself that were caught.
static PANICS: AtomicU64 = AtomicU64::new(0);
/// The time between two of them in the log.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Counts panics from now on, and logs where they are in place of printing their whole message,
/// which may be what a server sent; once a minute at most.
pub(crate) fn count_panics() {
    let last_logged = std::sync::Mutex::new(None::<Instant>);
    std::panic::set_hook(Box::new(move |panic| {
        let count = PANICS.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(mut last_logged) = last_logged.try_lock() else { return };
        if last_logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            *last_logged = Some(Instant::now());
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%at, count, "a fault in poolwatch or its driver was caught");
        }
    }));
}

/// The families about the daemon itself, under the names Prometheus' client libraries use.
pub(crate) fn families() -> Vec<Family> {
    let mut families = vec![build_info(), panics()];
    families.extend(usage("process", &Usage::now()));
    families
}

/// The resources that a process uses, under the names Prometheus' client libraries use after the
/// prefix.
pub(crate) fn usage(prefix: &str, usage: &Usage) -> Vec<Family> {
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let gauge = |name: &str, help: &str, value: Option<f64>| {
        let mut family = Family::gauge(format!("{prefix}_{name}"), help);
        family.sample(&[], value);
        family
    };
    let name = format!("{prefix}_cpu_seconds_total");
    let mut cpu = Family::counter(name, "User and system CPU time spent.");
    cpu.sample(&[], usage.cpu_seconds);
    let start = "Start time of the process in seconds since 1970.";
    let address_space = "Maximum amount of virtual memory available.";
    vec![
        cpu,
        gauge("max_fds", "Maximum number of open file descriptors.", count(usage.max_fds)),
        gauge("open_fds", "Number of open file descriptors.", count(usage.open_fds)),
        gauge("resident_memory_bytes", "Resident memory size.", count(usage.resident_memory_bytes)),
        gauge("start_time_seconds", start, usage.start_time_seconds),
        gauge("threads", "Number of OS threads in the process.", count(usage.threads)),
        gauge("virtual_memory_bytes", "Virtual memory size.", count(usage.virtual_memory_bytes)),
        gauge("virtual_memory_max_bytes", address_space, count(usage.virtual_memory_max_bytes)),
    ]
}

fn panics() -> Family {
    let help = "Faults of poolwatch or a library that were caught; each cost what was under way.";
    let mut family = Family::counter("poolwatch_panics_total", help);
    family.sample(&[], PANICS.load(Ordering::Relaxed) as f64);
    family
}

fn build_info() -> Family {
    let help = "A constant 1 with the version, revision and compiler of the daemon.";
    let mut family = Family::gauge("poolwatch_build_info", help);
    let labels = [("version", VERSION), ("revision", REVISION), ("rustversion", RUST_VERSION)];
    family.sample(&labels, 1.0);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let usage = Usage::now();
        assert!(usage.resident_memory_bytes.unwrap() > 100_000, "{usage:?}");
        assert!(usage.open_fds.unwrap() >= 3 && usage.threads.unwrap() >= 1, "{usage:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - usage.start_time_seconds.unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }

    #[test]
    fn the_compiler_is_named() {
        assert!(RUST_VERSION.starts_with("1."), "{RUST_VERSION}");
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(Machine::now().memory_total_bytes > Machine::now().memory_available_bytes);
    }
}
