//! A server's sessions, and the pools inferred from them.
//!
//! From `pg_stat_activity` the open connections are exact (without a pooler between) and those
//! checked out a lower bound: a connection held outside a transaction rests, as the server sees it.
//! Waiting callers, timeouts and the pool's size cannot be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use wildmatch::WildMatchPattern;

use super::Failure;
use crate::postgres::{self, APPLICATION_NAME, Database, SessionGroup, SessionsError};
use crate::reading::{
    ConnectionTarget, Figures, Holders, MaxOverflow, Origin, Pool, Reading, RunningSessions,
    Sessions, Timings, Totals, Worker,
};

/// The timeout of one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of a pool: which sessions belong to it, and its size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server that they are sessions of, by its name in the settings.
    #[serde(default = "primary")]
    pub server: String,
    /// Their `application_name`, where `*` stands for anything; all when left out.
    #[serde(default)]
    pub application_name: Option<String>,
    /// Their role; all when left out.
    #[serde(default)]
    pub user: Option<String>,
    /// Connections that one worker's pool keeps.
    #[serde(default)]
    pub size: Option<u64>,
    /// The number of further connections that one worker's pool may open.
    #[serde(default)]
    pub max_overflow: Option<u64>,
    /// The number of worker processes that have such a pool.
    #[serde(default)]
    pub workers: Option<u64>,
}

fn primary() -> String {
    "primary".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: primary(),
            application_name: None,
            user: None,
            size: None,
            max_overflow: None,
            workers: None,
        }
    }
}

/// Reads one server's sessions.
#[derive(Debug)]
pub struct Activity {
    database: Arc<Database>,
    pools: Vec<(String, Settings)>,
}

/// The reason why the sessions tell nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The role sees that there are sessions but not what they do.
    #[error(
        "the role sees {hidden} sessions of others but not what they do; \
         as a superuser: GRANT pg_monitor TO \"{role}\""
    )]
    Hidden {
        /// The number of such sessions.
        hidden: i64,
        /// The role poolwatch connects as.
        role: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", READ_TIMEOUT.as_secs())]
    Slow,
    /// The sessions could not be read.
    #[error(transparent)]
    Unseen(#[from] SessionsError),
}

impl Activity {
    /// Reads the sessions of a database, and infers the pools named.
    pub fn open(database: Arc<Database>, pools: Vec<(String, Settings)>) -> Self {
        Self { database, pools }
    }

    /// Reads once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let sample = timeout(READ_TIMEOUT, self.database.sessions()).await;
        let sample = sample.map_err(|_| Error::Slow)?.map_err(Error::Unseen)?;
        let Some(groups) = &sample.groups else {
            return Ok(Reading { hints: sample.hints, ..Reading::default() });
        };
        let groups: Vec<_> = groups.iter().filter(|group| !is_parallel_worker(group)).collect();
        let mut reading =
            parse(self.database.name(), &groups, &self.pools, &self.database.targets())?;
        if let Some(sessions) = reading.sessions.as_mut().filter(|_| !sample.has_waits) {
            sessions.waiting_for_lock = None;
        }
        reading.hints.extend(sample.hints);
        Ok(reading)
    }
}

/// One is no session, and needs no connection of its client's pool.
fn is_parallel_worker(group: &SessionGroup) -> bool {
    group.kind.as_deref() == Some("parallel worker")
}

fn is_idle(group: &SessionGroup) -> bool {
    group.state.as_deref() == Some("idle")
}

/// The server keeps no state of it, so that it may be idle or not.
fn is_unknown(group: &SessionGroup) -> bool {
    group.state.as_deref() == Some("disabled")
}

fn is_waiting_for_lock(group: &SessionGroup) -> bool {
    group.wait.as_ref().is_some_and(|(kind, _)| kind == "Lock")
}

fn is_of(group: &SessionGroup, pool: &Settings) -> bool {
    let wanted = |pattern: &Option<String>, name: &str| {
        pattern.as_deref().is_none_or(|pattern| matches(pattern, name))
    };
    group.in_current_database
        && wanted(&pool.application_name, &group.application_name)
        && wanted(&pool.user, &group.user)
}

/// The sessions counted and grouped into pools; nothing when what they do is hidden.
fn parse(
    server: &str,
    groups: &[&SessionGroup],
    pools: &[(String, Settings)],
    targets: &[ConnectionTarget],
) -> Result<Reading, Error> {
    let hidden = groups.iter().filter(|group| group.kind.is_none());
    let hidden: i64 = hidden.map(|group| group.sessions).sum();
    if let (true, Some(first)) = (hidden > 0, groups.first()) {
        return Err(Error::Hidden { hidden, role: first.role.clone() });
    }
    Ok(Reading {
        pools: pools.iter().map(|(name, settings)| pool(name, settings, groups, targets)).collect(),
        sessions: Some(sessions(server, groups)),
        hints: hints(groups),
        ..Reading::default()
    })
}

fn hints(groups: &[&SessionGroup]) -> Vec<String> {
    let unknown = groups.iter().filter(|group| is_unknown(group));
    let (sessions, roles) = (count(unknown.clone()), unknown.map(|group| group.user.as_str()));
    let roles: Vec<_> = roles.collect::<BTreeSet<_>>().into_iter().collect();
    let hint = || {
        format!(
            "the server keeps no state of {sessions} sessions (of {}), so that it is not known \
             whether they are idle: set track_activities = on for the server, the database or the \
             role that has it off",
            roles.join(", ")
        )
    };
    (sessions > 0).then(hint).into_iter().collect()
}

fn count<'a>(groups: impl Iterator<Item = &'a &'a SessionGroup>) -> u64 {
    groups.map(|group| u64::try_from(group.sessions).unwrap_or(0)).sum()
}

fn sessions(server: &str, groups: &[&SessionGroup]) -> Sessions {
    let clients = || groups.iter().filter(|group| group.application_name != APPLICATION_NAME);
    let in_state = |state: &'static str| {
        count(clients().filter(move |group| group.state.as_deref() == Some(state)))
    };
    let oldest = |age: fn(&SessionGroup) -> Option<f64>| {
        clients().filter_map(|group| age(group)).reduce(f64::max)
    };
    Sessions {
        server: server.to_owned(),
        active: in_state("active") + in_state("fastpath function call"),
        idle: in_state("idle"),
        idle_in_transaction: in_state("idle in transaction")
            + in_state("idle in transaction (aborted)"),
        waiting_for_lock: Some(count(clients().filter(|group| is_waiting_for_lock(group)))),
        applications: applications(groups),
        running: clients().filter_map(|group| running(group)).collect(),
        oldest_statement_seconds: oldest(|group| group.oldest_statement),
        oldest_transaction_seconds: oldest(|group| group.oldest_transaction),
        oldest_idle_in_transaction_seconds: oldest(|group| group.oldest_idle_in_transaction),
        connections: count(groups.iter()),
        own: postgres::CONNECTIONS.into(),
        max_connections: groups.first().and_then(|g| u64::try_from(g.max_connections?).ok()),
    }
}

/// The three applications with most connections.
fn applications(groups: &[&SessionGroup]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.application_name != APPLICATION_NAME) {
        *sums.entry(&group.application_name).or_default() += count(std::iter::once(group));
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums.truncate(3);
    sums
}

fn running(group: &SessionGroup) -> Option<RunningSessions> {
    let sessions = u64::try_from(group.sessions).unwrap_or(0);
    Some(RunningSessions { sessions, oldest_seconds: group.oldest_statement? })
}

fn pool(
    name: &str,
    settings: &Settings,
    groups: &[&SessionGroup],
    targets: &[ConnectionTarget],
) -> Pool {
    let role = settings.user.as_deref().filter(|role| !role.contains('*'));
    let targets = targets.iter().map(|target| target.with_role(role));
    let of_pool = || {
        groups
            .iter()
            .filter(|group| group.application_name != APPLICATION_NAME && is_of(group, settings))
    };
    // A session without a state is still connecting, or the server keeps none: it is open.
    let open = count(of_pool());
    let checked_in = count(of_pool().filter(|group| is_idle(group)));
    let is_known = !of_pool().any(|group| is_unknown(group));
    let figure_if_known = |figure: u64| is_known.then_some(figure);
    let workers = settings.workers.unwrap_or(1);
    let size = settings.size.map(|size| size * workers);
    Pool {
        name: name.to_owned(),
        origin: Origin::Activity,
        workers: vec![Worker {
            figures: Figures {
                size,
                max_overflow: settings.max_overflow.map(|m| MaxOverflow::Limited(m * workers)),
                checked_in: figure_if_known(checked_in),
                checked_out: figure_if_known(open - checked_in),
                overflow: size.map(|size| open.saturating_sub(size)),
                ..Figures::default()
            },
            ..Worker::default()
        }],
        worker_count: settings.workers,
        totals: Totals::default(),
        timings: Timings::default(),
        holders: Holders::default(),
        targets: targets.collect(),
    }
}

/// True when a name matches a pattern in which `*` stands for anything. The time is bounded by
/// the product of their lengths: who connects chooses the name.
fn matches(pattern: &str, name: &str) -> bool {
    // No name holds a NUL, so that no other character has a meaning.
    WildMatchPattern::<'*', '\0'>::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(application_name: &str, state: &str, sessions: i64) -> SessionGroup {
        SessionGroup {
            in_current_database: true,
            kind: Some("client backend".into()),
            application_name: application_name.into(),
            state: Some(state.into()),
            sessions,
            max_connections: Some(97),
            ..SessionGroup::default()
        }
    }

    #[test]
    fn sessions_in_a_transaction_are_checked_out() {
        let groups = [
            group("bot-1", "idle", 3),
            group("bot-2", "idle in transaction", 2),
            group("bot-2", "active", 1),
            group("psql", "active", 9),
            group("poolwatch", "active", 1),
        ];
        let settings = Settings {
            application_name: Some("bot-*".into()),
            size: Some(1),
            max_overflow: Some(3),
            workers: Some(2),
            ..Settings::default()
        };
        let reading =
            parse("primary", &groups.each_ref(), &[("inferred".into(), settings)], &[]).unwrap();
        let figures = reading.pools[0].workers[0].figures;
        assert_eq!((figures.checked_in, figures.checked_out), (Some(3), Some(3)));
        assert_eq!((figures.overflow, figures.capacity()), (Some(4), Some(8)));
        let sessions = reading.sessions.unwrap();
        assert_eq!((sessions.active, sessions.connections), (10, 16));
    }

    #[test]
    fn sessions_of_which_no_state_is_kept_are_neither_idle_nor_taken() {
        let groups = [group("bot", "disabled", 3), group("bot", "idle", 1)];
        let settings = Settings { size: Some(2), max_overflow: Some(1), ..Settings::default() };
        let reading =
            parse("primary", &groups.each_ref(), &[("app".into(), settings)], &[]).unwrap();
        let figures = reading.pools[0].workers[0].figures;
        assert_eq!((figures.checked_in, figures.checked_out), (None, None));
        assert_eq!((figures.overflow, figures.utilization()), (Some(2), None));
        assert!(reading.hints[0].contains("3 sessions") && reading.hints.len() == 1);
    }

    #[test]
    fn a_pool_of_unknown_size_has_no_utilization() {
        let groups = [group("x", "active", 3)];
        let reading =
            parse("primary", &groups.each_ref(), &[("app".into(), Settings::default())], &[])
                .unwrap();
        let figures = reading.pools[0].workers[0].figures;
        assert_eq!((figures.checked_out, figures.utilization()), (Some(3), None));
    }

    #[test]
    fn hidden_sessions_are_an_error_and_not_zero() {
        let hidden = SessionGroup { kind: None, role: "watch".into(), ..group("", "", 4) };
        let error = parse("primary", &[&hidden], &[], &[]).unwrap_err().to_string();
        assert!(error.contains("GRANT pg_monitor TO \"watch\""), "{error}");
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fits) in [
            ("bot*", "bot", true),
            ("bot*", "bot-7", true),
            ("*bot*", "a-bot-7", true),
            ("bot*7", "bot-8", false),
            ("bot", "bot-7", false),
            ("*é*", "café au", true),
            ("*", "", true),
            ("", "", true),
            ("", "bot", false),
            ("b?t", "bot", false),
            ("**b**t**", "bot", true),
            ("*bot", "bot-bot", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_that_almost_fits_many_stars_costs_nothing() {
        let (pattern, name) = (format!("{}b", "*a".repeat(30)), "a".repeat(63));
        let began = std::time::Instant::now();
        (0..100).for_each(|_| assert!(!matches(&pattern, &name)));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
