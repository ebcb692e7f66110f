//! The one loop: on each tick it reads the sources that are due, and whenever readings have come
//! it publishes what is known.
//!
//! A source is read by one future at a time, so a slow one misses its own ticks and nobody
//! else's. This is the only place where a reading succeeds or fails.

mod history;
mod outcome;
mod publish;
mod servers;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::history::History;
use self::outcome::{Outcome, read};
use self::servers::Servers;
use self::watched::Watched;
use crate::advice::{self, Advisor};
use crate::exposition::Chunk;
use crate::exposition::self_metrics::DroppedSeries;
use crate::latency::{BOUNDS, Histogram};
use crate::postgres::{Database, causes, in_words};
use crate::process;
use crate::snapshot::Snapshot;
use crate::sources::OpenSource;
use crate::state::{Moment, Thresholds};

/// The time between two searches for sources that are due.
const TICK: Duration = Duration::from_millis(250);
/// Readings that come this soon after one another are published together.
const GATHERING: Duration = Duration::from_millis(25);
/// A snapshot is published at least this often, so that its age says that the loop runs.
const AT_LEAST: Duration = Duration::from_secs(1);
/// No reading takes longer, whatever its source thinks: more than the slowest lane of collectors
/// on a server that answers none of them.
const PATIENCE: Duration = Duration::from_secs(300);

/// Reads sources and publishes what they say.
pub struct Sampler {
    watched: Vec<Watched>,
    databases: Vec<Arc<Database>>,
    servers: Servers,
    thresholds: Thresholds,
    stale_after: Duration,
    started_at: Moment,
    history: History,
    advisor: Advisor,
    probes: Vec<Histogram>,
    chunks: HashMap<String, Arc<Chunk>>,
    reloaded: (bool, SystemTime),
    dropped_series: DroppedSeries,
    next: u64,
}

/// A command to the sampler while it runs.
pub enum Order {
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
    /// The marks everything is judged by.
    pub thresholds: Thresholds,
    /// The rules of advice.
    pub advice: advice::Settings,
    /// The time at which the settings were read.
    pub at: SystemTime,
}

impl Sampler {
    /// A sampler of these sources, the databases they ask, and the thresholds they are judged by.
    pub fn new(
        watches: Vec<OpenSource>,
        databases: Vec<Arc<Database>>,
        thresholds: Thresholds,
    ) -> Self {
        let mut sampler = Self {
            watched: Vec::new(),
            databases: Vec::new(),
            servers: Servers::default(),
            thresholds,
            stale_after: Duration::ZERO,
            started_at: Moment::now(),
            history: History::default(),
            advisor: Advisor::new(advice::Settings::default()),
            probes: Vec::new(),
            chunks: HashMap::new(),
            reloaded: (true, SystemTime::now()),
            dropped_series: DroppedSeries::default(),
            next: 0,
        };
        sampler.watch(watches, databases);
        sampler
    }

    /// The same, advised by other rules than the usual.
    pub fn advised_by(mut self, rules: advice::Settings) -> Self {
        self.advisor.change(rules);
        self
    }

    /// Nothing seen yet, for whoever asks before the first sample.
    pub fn first(&self) -> Snapshot {
        let own = Chunk::encode(&process::families());
        Snapshot {
            chunks: vec![Arc::new(own)],
            ..Snapshot::empty(self.thresholds.clone(), self.stale_after)
        }
    }

    /// Reads and publishes until it is dropped or every receiver is.
    pub async fn run(
        mut self,
        publisher: watch::Sender<Arc<Snapshot>>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = FuturesUnordered::new();
        let mut published = Instant::now();
        while !publisher.is_closed() {
            let fresh = tokio::select! {
                _ = ticks.tick() => {
                    under_way.extend(self.start_due());
                    false
                }
                Some(order) = orders.recv() => {
                    self.obey(order);
                    true
                }
                Some(outcome) = under_way.next() => {
                    self.absorb(outcome);
                    self.gather(&mut under_way).await;
                    true
                }
            };
            let silent = self.drop_silent();
            if fresh || silent || published.elapsed() >= AT_LEAST {
                published = Instant::now();
                publisher.send_replace(Arc::new(self.publish()));
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::ReloadFailed => self.reloaded.0 = false,
            Order::Change(change) => {
                self.reloaded = (true, change.at);
                self.thresholds = change.thresholds;
                self.advisor.change(change.advice);
                let (kept, gone) = std::mem::take(&mut self.watched)
                    .into_iter()
                    .partition(|watched| change.keep.contains_key(&watched.name));
                self.watched = kept;
                for watched in &mut self.watched {
                    watched.interval = change.keep[&watched.name];
                }
                self.forget(gone);
                self.watch(change.add, change.databases);
            }
        }
    }

    /// What sources that are no more said is said no longer; what they left out stays counted.
    fn forget(&mut self, gone: Vec<Watched>) {
        for watched in gone {
            self.dropped_series += watched.dropped_series;
            self.chunks.remove(&watched.group);
            self.watched
                .iter_mut()
                .filter(|other| other.group == watched.group)
                .for_each(|other| other.fresh = true);
        }
    }

    fn watch(&mut self, watches: Vec<OpenSource>, databases: Vec<Arc<Database>>) {
        for watch in watches {
            self.next += 1;
            self.watched.push(Watched::new(self.next, watch));
        }
        self.probes = databases.iter().map(|database| self.probe(database.name())).collect();
        self.databases = databases;
        let probes = self.watched.iter().filter(|watched| watched.is_probe());
        self.servers.expect(probes.filter_map(|probe| probe.database.as_deref()));
        self.label();
        let shortest = self.watched.iter().map(|watched| watched.interval).min().unwrap_or(TICK);
        self.stale_after = (3 * shortest).max(Duration::from_secs(5));
    }

    /// Series of several servers say which they are of. What was encoded for other company is read
    /// again at once.
    fn label(&mut self) {
        let mut labels: HashMap<&str, Vec<_>> = HashMap::new();
        for watched in &self.watched {
            labels.entry(&watched.group).or_default().push(&watched.label);
        }
        let alone = |group: &str| labels[group].len() == 1;
        let several = |group: &str| labels[group].iter().any(|label| *label != labels[group][0]);
        let company: Vec<_> =
            self.watched.iter().map(|one| (alone(&one.group), several(&one.group))).collect();
        for (watched, (alone, several)) in self.watched.iter_mut().zip(company) {
            let unfit = watched.labelled != several || (!alone && watched.encoded.is_none());
            if unfit && watched.last.is_some() {
                watched.encoded = None;
                watched.fresh = true;
                watched.due = Instant::now();
            }
            watched.labelled = several;
        }
    }

    fn probe(&self, database: &str) -> Histogram {
        let known = self.databases.iter().position(|known| known.name() == database);
        known.map_or_else(|| Histogram::new(BOUNDS), |at| self.probes[at].clone())
    }

    fn start_due(&mut self) -> Vec<LocalBoxFuture<'static, Outcome>> {
        let now = Instant::now();
        let servers = &self.servers;
        let answers =
            |watched: &Watched| watched.server().is_none_or(|server| servers.answers(server));
        let due = self
            .watched
            .iter_mut()
            .filter(|watched| watched.due <= now && (watched.is_probe() || answers(watched)));
        due.filter_map(|watched| {
            let source = watched.source.take()?;
            // The next time follows from the last, so that a timer does not drift; a tick that was
            // missed is not made up for.
            watched.due = (watched.due + watched.interval).max(now + watched.interval / 2);
            Some(Box::pin(read(watched.id, source)) as LocalBoxFuture<'static, Outcome>)
        })
        .collect()
    }

    /// Waits a moment for others, so that sources read together are published together.
    async fn gather<F>(&mut self, under_way: &mut FuturesUnordered<F>)
    where
        F: Future<Output = Outcome>,
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
