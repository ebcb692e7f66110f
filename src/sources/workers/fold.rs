//! Reports of many workers folded into one pool each name: the newest of each worker, and sums that
//! outlive it. Pure: it is given the time, and asks only whether a silent process still runs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::budget::{Budget, SERIES_OF_ENDPOINT};
use super::demand::demand;
use super::findings::Findings;
use super::holding::Holding;
use super::instance::{Instance, LastReport};
use super::settings::Settings;
use super::total::Total;
use crate::reading::{ConnectionTarget, Origin, Pool, Reading, TARGETS, Worker};
use poolwatch_client::report::{self, Reason, Report};

/// The time for which a silent instance is remembered, so that one that was only stopped (a debugger,
/// a frozen container) is not counted twice when it goes on. One whose process is there is remembered
/// for as long as it is.
const MEMORY: Duration = Duration::from_mins(10);

/// The interval at which the log reports processes that report as one instance.
const FORKS_EVERY: Duration = Duration::from_mins(1);

/// The most endpoints, holds and processes of connections that are remembered of the last reports:
/// those of 2,000 workers with much to report, and some tens of megabytes.
const MOST_HOLDERS: usize = 100_000;

/// All reports of workers, folded.
#[derive(Debug)]
pub struct Fold {
    ttl: Duration,
    max_workers: usize,
    budget: Budget,
    /// Samples of endpoints that were summed as `other`.
    aggregated: u64,
    /// Endpoints, holds and processes of the last reports of all instances.
    holders: usize,
    instances: HashMap<String, Instance>,
    pools: BTreeMap<String, Total>,
    /// When each of them was last reported.
    last_named: HashMap<String, Instant>,
    findings: Findings,
    /// The last time at which the log reported processes that report as one instance.
    forks_logged_at: Option<Instant>,
    /// True while no worker lives and the last one made no final report.
    fell_silent: bool,
}

impl Fold {
    /// A fold of no reports.
    pub fn new(settings: &Settings) -> Self {
        Self {
            ttl: settings.ttl,
            max_workers: settings.max_workers,
            budget: Budget::new(settings),
            aggregated: 0,
            holders: 0,
            instances: HashMap::new(),
            pools: BTreeMap::new(),
            last_named: HashMap::new(),
            findings: Findings::default(),
            forks_logged_at: None,
            fell_silent: false,
        }
    }

    /// True while no worker lives and the last one ended, or stopped reporting, without its final
    /// report: it was not scaled down or shut down.
    pub(super) fn fell_silent(&self) -> bool {
        self.fell_silent
    }

    fn update_silence(&mut self, now: Instant) {
        let newest = self.instances.values().max_by_key(|one| one.received_at);
        if let Some(newest) = newest {
            let live = self.instances.values().any(|one| one.is_live(self.ttl, now));
            self.fell_silent = !live && !newest.left;
        }
    }

    /// Goes by other limits from now on; what was reported stays counted.
    pub(super) fn change(&mut self, settings: &Settings) {
        self.ttl = settings.ttl;
        self.max_workers = settings.max_workers;
        self.budget = Budget::new(settings);
    }

    /// Takes a report received at a time, from a process if the kernel names one. A report with
    /// pools too many is taken without them, and refused by that reason all the same.
    pub fn take(
        &mut self,
        report: Report,
        sender: Option<u32>,
        received_at: Instant,
    ) -> Result<(), Reason> {
        let (name, forked_from) = self.own_name(&report.instance, sender);
        let mut elapsed = Duration::ZERO;
        let before = match self.instances.get_mut(&name) {
            Some(instance) if instance.seq >= report.seq => return Err(Reason::Stale),
            Some(instance) => {
                elapsed = instance.age(received_at);
                std::mem::take(&mut instance.pools)
            }
            None => {
                self.make_room(received_at)?;
                // Told once room was found: a report that is refused comes again and again.
                if let Some(first) = forked_from {
                    self.log_fork(first, sender, received_at);
                }
                Vec::new()
            }
        };
        let Report { pid, seq, period, app, is_final, pools, findings, .. } = report;
        let reported = pools.len();
        let pools = self.add(self.bounded(pools), before, elapsed, received_at);
        self.holders += pools.iter().map(LastReport::holders).sum::<usize>();
        let taken = pools.iter().filter(|last| last.present).count();
        for finding in findings {
            self.findings.keep(finding, received_at);
        }
        let pid = sender.or(pid);
        let newest = Instance {
            seq,
            sender,
            pid,
            app,
            period,
            received_at,
            gone: is_final,
            ended: false,
            left: is_final,
            pools,
        };
        self.instances.insert(name, newest);
        if taken < reported { Err(Reason::TooManyPools) } else { Ok(()) }
    }

    /// The instance's name; of two processes that report by one name the second gets another, for
    /// each has a pool of its own. It was forked, and its client did not notice. Then the process
    /// that reported first is named, too.
    fn own_name(&self, instance: &str, sender: Option<u32>) -> (String, Option<u32>) {
        let first = self.instances.get(instance).and_then(|instance| instance.sender);
        match (first, sender) {
            (Some(first), Some(sender)) if first != sender => {
                (format!("{instance} {sender}"), Some(first))
            }
            _ => (instance.to_owned(), None),
        }
    }

    /// The pools without their holders where too many are remembered already.
    fn bounded(&self, mut pools: Vec<report::PoolReport>) -> Vec<report::PoolReport> {
        if self.holders >= MOST_HOLDERS {
            for pool in &mut pools {
                pool.endpoints.clear();
                pool.holds.clear();
                pool.backend_pids = None;
            }
        }
        pools
    }

    fn log_fork(&mut self, first: u32, sender: Option<u32>, now: Instant) {
        if self.forks_logged_at.is_some_and(|at| now.duration_since(at) < FORKS_EVERY) {
            return;
        }
        self.forks_logged_at = Some(now);
        tracing::warn!(
            pids = ?[Some(first), sender],
            "Two processes report as one instance: the client did not notice a fork. Upgrade it; \
             with uWSGI also set lazy-apps, or py-call-osafterfork"
        );
    }

    /// Adds what grew to the sums, and returns the last reports of the instance's pools. A pool that is
    /// no longer reported is remembered: it may come again.
    fn add(
        &mut self,
        reported: Vec<report::PoolReport>,
        mut before: Vec<LastReport>,
        elapsed: Duration,
        now: Instant,
    ) -> Vec<LastReport> {
        let mut newest = Vec::with_capacity(reported.len());
        // Those that have sums first, lest they be forgotten for the new.
        let (old, new): (Vec<_>, Vec<_>) =
            reported.into_iter().partition(|pool| self.pools.contains_key(&pool.name));
        for pool in &old {
            self.last_named.insert(pool.name.clone(), now);
        }
        for mut pool in old.into_iter().chain(new) {
            let is_new = !self.pools.contains_key(&pool.name);
            if is_new && !self.make_room_for_a_pool(now) {
                continue;
            }
            self.last_named.insert(pool.name.clone(), now);
            let last = before.iter().position(|last| last.pool.name == pool.name);
            let last = last.map(|place| before.swap_remove(place));
            let demand = last.as_ref().and_then(|last| demand(&pool, last, elapsed));
            let last = last.map(|last| last.pool);
            if is_new {
                self.budget.add_pool();
            }
            let total = self.pools.entry(pool.name.clone()).or_default();
            let named = total.endpoints.named();
            let max_endpoints = self.budget.max_endpoints(named);
            let summed = total.add(&mut pool, last.as_ref(), max_endpoints, now);
            self.aggregated += summed * SERIES_OF_ENDPOINT as u64;
            self.budget.add_endpoints(total.endpoints.named().saturating_sub(named));
            newest.push(LastReport { pool, present: true, demand });
        }
        let absent = |last| LastReport { present: false, demand: None, ..last };
        let absent = before.into_iter().map(absent);
        newest.extend(absent.take(report::POOLS));
        newest
    }

    /// Makes room for one more pool; `false` when there is none. A pool that no worker has any more
    /// gives way, the one that was not reported for longest. Its sums go with it.
    fn make_room_for_a_pool(&mut self, now: Instant) -> bool {
        if self.pools.len() < self.budget.max_pools() {
            return true;
        }
        let may_come = |one: &&Instance| !one.gone && one.age(now) < MEMORY;
        let present = self.instances.values().filter(may_come).flat_map(|one| &one.pools);
        let present: HashSet<_> =
            present.filter(|last| last.present).map(|last| last.pool.name.as_str()).collect();
        let left = self
            .last_named
            .iter()
            .filter(|(name, named)| !present.contains(name.as_str()) && **named < now);
        let oldest = left.min_by_key(|(_, named)| **named).map(|(name, _)| name.clone());
        if let Some(name) = &oldest {
            self.pools.remove(name);
            self.last_named.remove(name);
        }
        oldest.is_some()
    }

    /// Makes room for one more instance. As many silent ones are remembered as may be live; the one
    /// silent for longest gives way.
    fn make_room(&mut self, now: Instant) -> Result<(), Reason> {
        if self.instances.len() < self.max_workers {
            return Ok(());
        }
        let live = self.instances.values().filter(|instance| instance.is_live(self.ttl, now));
        if live.count() >= self.max_workers {
            return Err(Reason::TooManyWorkers);
        }
        if self.instances.len() >= 2 * self.max_workers {
            self.forget_the_oldest(now);
        }
        Ok(())
    }

    fn forget_the_oldest(&mut self, now: Instant) {
        let silent = self.instances.iter().filter(|(_, one)| !one.is_live(self.ttl, now));
        let oldest = silent.min_by_key(|(_, one)| one.received_at).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.instances.remove(&name);
        }
    }

    /// Every pool ever named, with the workers that live, and the newest findings.
    pub fn reading(&mut self, now: Instant) -> Reading {
        self.instances.values_mut().for_each(|instance| instance.check_process(now));
        self.update_silence(now);
        self.instances.retain(|_, one| one.age(now) < MEMORY || one.may_resume());
        let last_reports = self.instances.values().flat_map(|one| &one.pools);
        self.holders = last_reports.map(LastReport::holders).sum();
        self.update_targets(now);
        let further = self.further_series(now);
        self.budget.balance(&mut self.pools, further);
        let mut workers = self.workers(now);
        let mut holders = Holding::new(self.live(now));
        let pools = self.pools.iter().map(|(name, total)| {
            let mut workers = workers.remove(name.as_str()).unwrap_or_default();
            workers.sort_unstable_by_key(|worker| worker.pid);
            Pool {
                holders: holders.of_pool(name, &total.endpoints),
                name: name.clone(),
                origin: Origin::Workers,
                worker_count: Some(workers.len() as u64),
                workers,
                totals: total.totals,
                timings: total.timings.clone(),
                targets: total.targets.clone(),
            }
        });
        let pools = pools.collect();
        let last_reports = self.instances.values_mut().flat_map(|one| &mut one.pools);
        last_reports.for_each(|last| last.demand = None);
        let owners = self.instances.iter().flat_map(|(name, one)| one.owners(name, now));
        let owners = owners.collect();
        let findings = self.findings.recent(now);
        Reading { pools, owners, findings, aggregated: self.aggregated, ..Reading::default() }
    }

    /// The series of targets and applications of pools that have several.
    fn further_series(&self, now: Instant) -> usize {
        let mut apps: HashMap<&str, HashSet<&str>> = HashMap::new();
        for (instance, pool) in self.live(now) {
            apps.entry(&pool.name).or_default().extend(instance.app.as_deref());
        }
        let apps = apps.values().map(HashSet::len);
        let targets = self.pools.values().map(|total| total.targets.len());
        apps.chain(targets).map(|count| count.saturating_sub(1)).sum()
    }

    /// The targets of each pool: those of its workers that live, else the last that were known.
    fn update_targets(&mut self, now: Instant) {
        let mut targets: HashMap<String, BTreeSet<ConnectionTarget>> = HashMap::new();
        for (_, pool) in self.live(now).filter(|(_, pool)| !pool.targets.is_empty()) {
            match targets.get_mut(&pool.name) {
                Some(all) => all.extend(pool.targets.iter().cloned()),
                None => {
                    targets.insert(pool.name.clone(), pool.targets.iter().cloned().collect());
                }
            }
        }
        for (name, targets) in targets {
            if let Some(total) = self.pools.get_mut(&name) {
                total.targets = targets.into_iter().take(TARGETS).collect();
            }
        }
    }

    fn workers(&self, now: Instant) -> HashMap<&str, Vec<Worker>> {
        let mut workers: HashMap<&str, Vec<Worker>> = HashMap::new();
        for (instance, LastReport { pool, demand, .. }) in self.present(now) {
            workers.entry(&pool.name).or_default().push(Worker {
                pid: instance.pid,
                app: instance.app.clone(),
                age: Some(instance.age(now)),
                figures: pool.figures,
                demand: *demand,
                growth_limit: None,
            });
        }
        workers
    }

    /// Each pool of each worker that lives.
    fn live(&self, now: Instant) -> impl Iterator<Item = (&Instance, &report::PoolReport)> {
        self.present(now).map(|(instance, last)| (instance, &last.pool))
    }

    fn present(&self, now: Instant) -> impl Iterator<Item = (&Instance, &LastReport)> {
        let live = self.instances.values().filter(move |one| one.is_live(self.ttl, now));
        live.flat_map(|instance| {
            let present = instance.pools.iter().filter(|last| last.present);
            present.map(move |last| (instance, last))
        })
    }
}

impl LastReport {
    fn holders(&self) -> usize {
        let pids = self.pool.backend_pids.as_ref().map_or(0, Vec::len);
        self.pool.endpoints.len() + self.pool.holds.len() + pids
    }
}

#[cfg(test)]
mod tests;
