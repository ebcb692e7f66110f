//! The one loop: on each tick it reads the sources that are due, and whenever readings have come
//! it publishes a snapshot.
//!
//! A source is read by one future at a time, so a slow one misses its own ticks and nobody
//! else's. This is the only place where a reading succeeds or fails.

mod leader;
mod log_limit;
mod outcome;
mod publish;
mod recent;
mod servers;
mod task;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::outcome::{ReadOutcome, read};
use self::recent::RecentPools;
use self::servers::Servers;
use self::task::SourceTask;
use crate::advice::{self, Advisor};
use crate::exposition::Chunk;
use crate::exposition::self_metrics::DroppedSeries;
use crate::latency::{BOUNDS, Histogram};
use crate::postgres::{Database, causes, in_words};
use crate::process;
use crate::snapshot::Snapshot;
use crate::sources::OpenSource;
use crate::state::{Moment, Role, SessionClaims, Thresholds};

/// The time between two searches for sources that are due.
const TICK: Duration = Duration::from_millis(250);
/// Readings that come this soon after one another are published together.
const GATHERING: Duration = Duration::from_millis(25);
/// A snapshot is published at least this often, so that its age says that the loop runs.
const AT_LEAST: Duration = Duration::from_secs(1);
/// The most time that a reading may take, whatever its source allows: more than the slowest lane of
/// collectors on a server that answers none of them.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Reads sources and publishes snapshots.
pub struct Sampler {
    tasks: Vec<SourceTask>,
    databases: Vec<Arc<Database>>,
    servers: Servers,
    thresholds: Thresholds,
    role: Role,
    stale_after: Duration,
    started_at: Moment,
    recent_pools: RecentPools,
    claims: HashMap<String, SessionClaims>,
    advisor: Advisor,
    probes: Vec<Histogram>,
    chunks: HashMap<String, Arc<Chunk>>,
    reloaded: (bool, SystemTime),
    dropped_series: DroppedSeries,
    next: u64,
}

/// A command to the sampler while it runs.
pub enum Command {
    /// The settings changed.
    Change(Box<Change>),
    /// The settings could not be read anew; those in force are kept.
    ReloadFailed,
}

/// The settings that a reload changes. Sources that stay the same go on without a gap.
pub struct Change {
    /// Sources that stay, by name, and how often they are read from now on.
    pub keep: HashMap<String, Duration>,
    /// Sources that are new or have other settings.
    pub add: Vec<OpenSource>,
    /// All databases from now on.
    pub databases: Vec<Arc<Database>>,
    /// The thresholds by which everything is judged.
    pub thresholds: Thresholds,
    /// The rules of advice.
    pub advice: advice::Settings,
    /// Its part among several poolwatches.
    pub role: Role,
    /// The time at which the settings were read.
    pub at: SystemTime,
}

impl Sampler {
    /// A sampler of these sources, the databases they ask, and the thresholds they are judged by.
    pub fn new(
        sources: Vec<OpenSource>,
        databases: Vec<Arc<Database>>,
        thresholds: Thresholds,
    ) -> Self {
        let mut sampler = Self {
            tasks: Vec::new(),
            databases: Vec::new(),
            servers: Servers::default(),
            thresholds,
            role: Role::default(),
            stale_after: Duration::ZERO,
            started_at: Moment::now(),
            recent_pools: RecentPools::default(),
            claims: HashMap::new(),
            advisor: Advisor::new(advice::Settings::default()),
            probes: Vec::new(),
            chunks: HashMap::new(),
            reloaded: (true, SystemTime::now()),
            dropped_series: DroppedSeries::default(),
            next: 0,
        };
        sampler.add(sources, databases);
        sampler
    }

    /// The same, advised by other rules than the usual.
    pub fn advised_by(mut self, rules: advice::Settings) -> Self {
        self.advisor.change(rules);
        self
    }

    /// The same with this part among several poolwatches.
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The snapshot for whoever asks before the first sample.
    pub fn first(&self) -> Snapshot {
        let own = Chunk::encode(&process::families());
        Snapshot {
            chunks: vec![Arc::new(own)],
            role: self.role,
            ..Snapshot::empty(self.thresholds.clone(), self.stale_after)
        }
    }

    /// Reads and publishes until it is dropped or every receiver is.
    pub async fn run(
        mut self,
        publisher: watch::Sender<Arc<Snapshot>>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = FuturesUnordered::new();
        let mut published = Instant::now();
        while !publisher.is_closed() {
            let dirty = tokio::select! {
                _ = ticks.tick() => {
                    under_way.extend(self.start_due());
                    false
                }
                Some(command) = commands.recv() => {
                    self.apply(command);
                    true
                }
                Some(outcome) = under_way.next() => {
                    self.absorb(outcome);
                    self.gather(&mut under_way).await;
                    true
                }
            };
            let silent = self.drop_silent();
            let led = self.follow_leaders();
            if dirty || silent || led || published.elapsed() >= AT_LEAST {
                published = Instant::now();
                publisher.send_replace(Arc::new(self.publish()));
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::ReloadFailed => self.reloaded.0 = false,
            Command::Change(change) => {
                self.reloaded = (true, change.at);
                self.thresholds = change.thresholds;
                self.role = change.role;
                self.advisor.change(change.advice);
                let (kept, gone) = std::mem::take(&mut self.tasks)
                    .into_iter()
                    .partition(|task| change.keep.contains_key(&task.name));
                self.tasks = kept;
                for task in &mut self.tasks {
                    task.interval = change.keep[&task.name];
                }
                self.forget(gone);
                self.release_leaderships(&change.databases);
                self.add(change.add, change.databases);
            }
        }
    }

    /// Drops the chunks of sources that are no more; the series that they dropped stay counted.
    fn forget(&mut self, gone: Vec<SourceTask>) {
        for task in gone {
            self.dropped_series += task.dropped_series;
            self.chunks.remove(&task.group);
            self.tasks
                .iter_mut()
                .filter(|other| other.group == task.group)
                .for_each(|other| other.dirty = true);
        }
    }

    fn add(&mut self, sources: Vec<OpenSource>, databases: Vec<Arc<Database>>) {
        for source in sources {
            self.next += 1;
            self.tasks.push(SourceTask::new(self.next, source));
        }
        self.probes = databases.iter().map(|database| self.probe(database.name())).collect();
        self.databases = databases;
        let probes = self.tasks.iter().filter(|task| task.is_probe());
        self.servers.expect(probes.filter_map(|probe| probe.database.as_deref()));
        self.label();
        let shortest = self.tasks.iter().map(|task| task.interval).min().unwrap_or(TICK);
        self.stale_after = (3 * shortest).max(Duration::from_secs(5));
    }

    /// Series of several servers say which they are of. What was encoded for other company is read
    /// again at once.
    fn label(&mut self) {
        let mut labels: HashMap<&str, Vec<_>> = HashMap::new();
        for task in &self.tasks {
            labels.entry(&task.group).or_default().push(&task.label);
        }
        let alone = |group: &str| labels[group].len() == 1;
        let several = |group: &str| labels[group].iter().any(|label| *label != labels[group][0]);
        let company: Vec<_> =
            self.tasks.iter().map(|one| (alone(&one.group), several(&one.group))).collect();
        for (task, (alone, several)) in self.tasks.iter_mut().zip(company) {
            let unfit = task.labelled != several || (!alone && task.encoded.is_none());
            if unfit && task.last.is_some() {
                task.encoded = None;
                task.dirty = true;
                task.due = Instant::now();
            }
            task.labelled = several;
        }
    }

    fn probe(&self, database: &str) -> Histogram {
        let index = self.databases.iter().position(|one| one.name() == database);
        index.map_or_else(|| Histogram::new(BOUNDS), |index| self.probes[index].clone())
    }

    fn start_due(&mut self) -> Vec<LocalBoxFuture<'static, ReadOutcome>> {
        let now = Instant::now();
        let (servers, databases) = (&self.servers, &self.databases);
        let answers = |task: &SourceTask| {
            task.server().is_none_or(|server| servers.answers(server))
                && !leader::is_anothers(databases, task.database.as_deref())
        };
        let due = self
            .tasks
            .iter_mut()
            .filter(|task| task.due <= now && (task.is_probe() || answers(task)));
        due.filter_map(|task| {
            let source = task.source.take()?;
            // The next time follows from the last, so that a timer does not drift; a tick that was
            // missed is not made up for.
            task.due = (task.due + task.interval).max(now + task.interval / 2);
            Some(Box::pin(read(task.id, source)) as LocalBoxFuture<'static, ReadOutcome>)
        })
        .collect()
    }

    /// Waits a moment for others, so that sources read together are published together.
    async fn gather<F>(&mut self, under_way: &mut FuturesUnordered<F>)
    where
        F: Future<Output = ReadOutcome>,
    {
        let enough = sleep(GATHERING);
        tokio::pin!(enough);
        loop {
            tokio::select! {
                () = &mut enough => return,
                next = under_way.next() => match next {
                    Some(outcome) => self.absorb(outcome),
                    None => return,
                },
            }
        }
    }
}

/// An error and its causes in one line, each once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = in_words(error);
    for cause in causes(error) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
