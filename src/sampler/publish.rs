//! Putting a snapshot together from the last reading of every source.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Sampler;
use super::task::SourceTask;
use crate::advice::{Advice, RuleContext, ServerFigures};
use crate::exposition::self_metrics::DroppedSeries;
use crate::exposition::{Chunk, Encoded, pools, self_metrics, session_owners};
use crate::reading::{ConnectionOwner, Pool, Reading, ServerResources};
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Moment, PoolState};
use crate::{own_log, process};

/// The interval from which families are compressed when they were read, not when they are scraped.
const SLOW: Duration = Duration::from_secs(5);

impl Sampler {
    pub(super) fn publish(&mut self) -> Snapshot {
        self.encode_fresh_groups();
        let pools = self.judge_pools();
        let mut databases = self.databases();
        self.judge_owners(&mut databases);
        let advice = self.advise(&pools, &databases);
        let sources: Vec<_> = self.tasks.iter().map(|task| task.state.clone()).collect();
        let own = Encoded::new(
            pools::families(&pools)
                .into_iter()
                .chain(self_metrics::databases(&databases, &self.probes))
                .chain(session_owners::families(&databases))
                .chain(self_metrics::sources(&sources, self.dropped_series()))
                .chain(self_metrics::advice(&advice))
                .chain(self_metrics::reload(self.reloaded))
                .chain(self_metrics::role(self.role))
                .chain(self_metrics::log(own_log::dropped_lines()))
                .chain(process::families()),
        );
        let findings = self.readings().flat_map(|reading| reading.findings.clone()).collect();
        let mut chunks: Vec<_> = self.chunks.iter().collect();
        chunks.sort_unstable_by_key(|(group, _)| *group);
        let chunks = chunks.into_iter().map(|(_, chunk)| Arc::clone(chunk));
        Snapshot {
            started_at: self.started_at,
            taken_at: Some(Moment::now()),
            stale_after: self.stale_after,
            pools,
            databases,
            sources,
            advice,
            findings,
            thresholds: self.thresholds.clone(),
            role: self.role,
            chunks: [Arc::new(Chunk::join(&[&own]))].into_iter().chain(chunks).collect(),
        }
    }

    fn advise(&mut self, pools: &[PoolState], databases: &[DatabaseState]) -> Vec<Advice> {
        let servers = databases.iter().map(|database| self.server(&database.name)).collect();
        let readings = || self.tasks.iter().filter_map(|task| task.last.as_ref());
        let context = RuleContext {
            pools: pools.iter().collect(),
            databases,
            findings: readings().flat_map(|reading| &reading.findings).collect(),
            indexes: readings().filter_map(|reading| reading.indexes.as_ref()).collect(),
            servers,
            thresholds: &self.thresholds,
        };
        self.advisor.review(&context, Instant::now().into_std())
    }

    /// A server's machine and size, as its sources report them.
    fn server(&self, name: &str) -> ServerFigures {
        let of_server = self.tasks.iter().filter(|w| w.database.as_deref() == Some(name));
        let readings = of_server.filter_map(|task| task.last.as_ref());
        let resources = readings.map(|reading| reading.resources);
        let ServerResources { cpu_seconds, cores, bytes } =
            resources.fold(ServerResources::default(), ServerResources::or);
        ServerFigures { name: name.to_owned(), cpu_seconds, cores, bytes }
    }

    fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.tasks.iter().filter_map(|task| task.last.as_ref())
    }

    fn dropped_series(&self) -> DroppedSeries {
        let mut all = self.dropped_series;
        self.tasks.iter().for_each(|task| all += task.dropped_series);
        all
    }

    /// Encodes the groups of which some source has spoken since; the others stay as they were.
    fn encode_fresh_groups(&mut self) {
        let dirty = self
            .tasks
            .iter_mut()
            .filter_map(|task| std::mem::take(&mut task.dirty).then(|| task.group.clone()));
        let groups: BTreeSet<String> = dirty.collect();
        for group in groups {
            let members = || self.tasks.iter().filter(|task| task.group == group);
            let encoded: Vec<_> = members().filter_map(|member| member.encoded.as_ref()).collect();
            let mut chunk = Chunk::join(&encoded);
            if members().all(|member| member.interval >= SLOW) {
                chunk = chunk.packed();
            }
            if members().count() == 1 {
                let only = self.tasks.iter_mut().find(|task| task.group == group);
                only.expect("it was counted").encoded = None;
            }
            self.dropped_series.dropped += chunk.dropped() as u64;
            if chunk.series() > 0 {
                self.chunks.insert(group, Arc::new(chunk));
            } else {
                self.chunks.remove(&group);
            }
        }
    }

    /// Every pool once: where two sources read one pool, the better one is used.
    fn judge_pools(&mut self) -> Vec<PoolState> {
        let mut best: HashMap<&str, &Pool> = HashMap::new();
        for pool in self.tasks.iter().filter_map(|w| w.last.as_ref()).flat_map(|r| &r.pools) {
            let chosen = best.entry(&pool.name).or_insert(pool);
            if pool.origin < chosen.origin {
                *chosen = pool;
            }
        }
        let mut pools: Vec<Pool> = best.into_values().cloned().collect();
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let now = Instant::now().into_std();
        let names: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).collect();
        self.recent_pools.keep_only(&names, now);
        pools
            .into_iter()
            .map(|pool| {
                let recent = self.recent_pools.add(&pool, now);
                PoolState::judge(pool, recent, &self.thresholds)
            })
            .collect()
    }

    /// Compares each server's sessions with the connections that workers hold.
    fn judge_owners(&mut self, databases: &mut [DatabaseState]) {
        let only = databases.len() == 1;
        self.claims.retain(|name, _| databases.iter().any(|one| one.name == *name));
        let owners: Vec<_> = self.tasks.iter().filter_map(|task| task.last.as_ref()).collect();
        let owners = || owners.iter().flat_map(|reading| &reading.owners);
        for database in databases {
            let of_server = self.tasks.iter().filter(|task| task.server() == Some(&database.name));
            let mut readings = of_server.filter_map(|task| task.last.as_ref());
            let sessions = readings.find_map(|reading| reading.client_sessions.as_ref());
            let Some(sessions) = sessions else { continue };
            let may_hold = |owner: &&ConnectionOwner| only || owner.connects_to(&database.places);
            let claims = self.claims.entry(database.name.clone()).or_default();
            database.session_owners =
                claims.judge(owners().filter(may_hold), sessions, &database.places);
        }
    }

    /// Returns true if the probe of a server that this poolwatch does not lead found another leader,
    /// or an address behind which none can be elected.
    fn stands_by(&self, probe: &SourceTask) -> bool {
        probe.last.is_some() || probe.server().is_some_and(|server| self.servers.stands_by(server))
    }

    fn databases(&self) -> Vec<DatabaseState> {
        self.databases
            .iter()
            .map(|database| {
                let mut state = DatabaseState {
                    name: database.name().to_owned(),
                    address: database.address(),
                    datname: database.datname().to_owned(),
                    version: database.version(),
                    places: database.places(),
                    system_identifier: database.system_identifier(),
                    leads: database.leads(),
                    ..DatabaseState::default()
                };
                let of_database =
                    self.tasks.iter().filter(|w| w.database.as_deref() == Some(database.name()));
                for task in of_database {
                    if task.is_probe() {
                        let stands_by = state.leads == Some(false) && self.stands_by(task);
                        state.up = task.state.up.filter(|_| !stands_by);
                        state.error.clone_from(&task.state.error);
                        let refusal = || self.servers.refusal(database.name());
                        state.session_failure = task.session_failure.or_else(refusal);
                        state.remedy.clone_from(&task.state.remedy);
                        state.down_since = task.state.failing_since;
                        state.down_until = task.state.failed_until;
                    }
                    if let Some(reading) = &task.last {
                        state.probe = state.probe.or(reading.probe);
                        state.statements.extend_from_slice(&reading.statements);
                        state.top = state.top.or_else(|| reading.top.clone());
                        state.logged.extend_from_slice(&reading.logged);
                        state
                            .lock_queues
                            .extend_from_slice(reading.lock_queues.as_deref().unwrap_or_default());
                        state.conditions = state.conditions.or_else(|| reading.conditions.clone());
                        state.sessions = state.sessions.or_else(|| reading.sessions.clone());
                    }
                }
                state
            })
            .collect()
    }
}
