//! A server's sessions, and the pools inferred from them.
//!
//! From `pg_stat_activity` the open connections are exact (without a pooler between) and those
//! checked out a lower bound: a connection held outside a transaction rests, as the server sees it.
//! Waiting callers, timeouts and the pool's size cannot be seen.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{Executor, Row};
use tokio::time::timeout;

use super::{Failure, explain, text};
use crate::postgres::{APPLICATION_NAME, Database};
use crate::reading::{
    Figures, MaxOverflow, Origin, Pool, Reading, Sessions, Timings, Totals, Worker,
};

/// How long one reading may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which sessions are one pool, and how large the operator says that pool is.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database they are sessions of, by its name in the settings.
    #[serde(default = "primary")]
    pub database: String,
    /// Their `application_name`, where `*` stands for anything; all when left out.
    #[serde(default)]
    pub application_name: Option<String>,
    /// Their role; all when left out.
    #[serde(default)]
    pub user: Option<String>,
    /// Connections that one worker's pool keeps.
    #[serde(default)]
    pub size: Option<u64>,
    /// How many more one worker's pool may open.
    #[serde(default)]
    pub max_overflow: Option<u64>,
    /// How many worker processes have such a pool.
    #[serde(default)]
    pub workers: Option<u64>,
}

fn primary() -> String {
    "primary".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database: primary(),
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

/// Why the sessions tell nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The role sees that there are sessions but not what they do.
    #[error(
        "the role sees {hidden} sessions of others but not what they do; \
         as a superuser: GRANT pg_monitor TO \"{role}\""
    )]
    Hidden {
        /// How many.
        hidden: i64,
        /// The role poolwatch connects as.
        role: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// The statement failed.
    #[error("{}", explain(.0).unwrap_or("cannot read pg_stat_activity"))]
    Failed(#[from] sqlx::Error),
    /// No connection.
    #[error("no connection")]
    Acquire(#[from] crate::pool::AcquireError),
}

impl Activity {
    /// Reads the sessions of a database, and infers the pools named.
    pub fn open(database: Arc<Database>, pools: Vec<(String, Settings)>) -> Self {
        Self { database, pools }
    }

    /// Reads once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let rows = timeout(PATIENCE, self.rows()).await.map_err(|_| Error::Slow)??;
        let groups = rows.iter().map(Group::from_row).collect::<Result<Vec<_>, _>>()?;
        Ok(parse(self.database.name(), &groups, &self.pools)?)
    }

    async fn rows(&self) -> Result<Vec<PgRow>, Error> {
        let mut connection = self.database.acquire().await?;
        Ok((&mut connection).fetch_all(sqlx::query(SQL).bind(APPLICATION_NAME)).await?)
    }
}

/// Sessions alike.
#[derive(Clone, Debug, Default)]
struct Group {
    here: bool,
    user: String,
    application_name: String,
    state: Option<String>,
    hidden: bool,
    waiting_for_lock: bool,
    sessions: i64,
    oldest_statement: Option<f64>,
    oldest_transaction: Option<f64>,
    oldest_idle_in_transaction: Option<f64>,
    role: String,
    max_connections: i64,
}

impl Group {
    fn from_row(row: &PgRow) -> Result<Self, Error> {
        Ok(Self {
            here: row.try_get("here")?,
            user: text(row, "usename")?.unwrap_or_default(),
            application_name: text(row, "application_name")?.unwrap_or_default(),
            state: row.try_get("state")?,
            hidden: row.try_get("hidden")?,
            waiting_for_lock: row.try_get("waiting_for_lock")?,
            sessions: row.try_get("sessions")?,
            oldest_statement: row.try_get("oldest_statement")?,
            oldest_transaction: row.try_get("oldest_transaction")?,
            oldest_idle_in_transaction: row.try_get("oldest_idle_in_transaction")?,
            role: text(row, "role")?.unwrap_or_default(),
            max_connections: row.try_get("max_connections")?,
        })
    }

    fn is_idle(&self) -> bool {
        self.state.as_deref() == Some("idle")
    }

    fn is_of(&self, pool: &Settings) -> bool {
        let wanted = |pattern: &Option<String>, name: &str| {
            pattern.as_deref().is_none_or(|pattern| matches(pattern, name))
        };
        self.here
            && wanted(&pool.application_name, &self.application_name)
            && wanted(&pool.user, &self.user)
    }
}

/// The sessions counted and grouped into pools; nothing when what they do is hidden.
fn parse(server: &str, groups: &[Group], pools: &[(String, Settings)]) -> Result<Reading, Error> {
    let hidden: i64 = groups.iter().filter(|group| group.hidden).map(|group| group.sessions).sum();
    if let (true, Some(first)) = (hidden > 0, groups.first()) {
        return Err(Error::Hidden { hidden, role: first.role.clone() });
    }
    Ok(Reading {
        pools: pools.iter().map(|(name, settings)| pool(name, settings, groups)).collect(),
        sessions: Some(sessions(server, groups)),
        ..Reading::default()
    })
}

fn count<'a>(groups: impl Iterator<Item = &'a Group>) -> u64 {
    groups.map(|group| u64::try_from(group.sessions).unwrap_or(0)).sum()
}

fn sessions(server: &str, groups: &[Group]) -> Sessions {
    let clients = || groups.iter().filter(|group| group.application_name != APPLICATION_NAME);
    let in_state = |state: &'static str| {
        count(clients().filter(move |group| group.state.as_deref() == Some(state)))
    };
    let oldest = |age: fn(&Group) -> Option<f64>| clients().filter_map(age).reduce(f64::max);
    Sessions {
        server: server.to_owned(),
        active: in_state("active") + in_state("fastpath function call"),
        idle: in_state("idle"),
        idle_in_transaction: in_state("idle in transaction")
            + in_state("idle in transaction (aborted)"),
        waiting_for_lock: count(clients().filter(|group| group.waiting_for_lock)),
        oldest_statement_seconds: oldest(|group| group.oldest_statement),
        oldest_transaction_seconds: oldest(|group| group.oldest_transaction),
        oldest_idle_in_transaction_seconds: oldest(|group| group.oldest_idle_in_transaction),
        connections: count(groups.iter()),
        max_connections: groups.first().and_then(|g| u64::try_from(g.max_connections).ok()),
    }
}

fn pool(name: &str, settings: &Settings, groups: &[Group]) -> Pool {
    let of_pool = || {
        groups
            .iter()
            .filter(|group| group.application_name != APPLICATION_NAME && group.is_of(settings))
    };
    // A session without a state is still connecting, or the server keeps none: it is open.
    let open = count(of_pool());
    let checked_in = count(of_pool().filter(|group| group.is_idle()));
    let workers = settings.workers.unwrap_or(1);
    let size = settings.size.map(|size| size * workers);
    Pool {
        name: name.to_owned(),
        origin: Origin::Activity,
        workers: vec![Worker {
            figures: Figures {
                size,
                max_overflow: settings.max_overflow.map(|m| MaxOverflow::Limited(m * workers)),
                checked_in: Some(checked_in),
                checked_out: Some(open - checked_in),
                overflow: size.map(|size| open.saturating_sub(size)),
                ..Figures::default()
            },
            ..Worker::default()
        }],
        worker_count: settings.workers,
        totals: Totals::default(),
        timings: Timings::default(),
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            rest.is_empty()
                || name
                    .char_indices()
                    .map(|(at, _)| &name[at..])
                    .chain([""])
                    .any(|tail| matches(rest, tail))
        }),
    }
}

/// Client sessions alike, counted. A role without `pg_monitor` sees others' sessions with a NULL
/// `backend_type`; the server's own workers have no database then.
///
/// The view would join two catalogues each second for a few names: they are looked up once they
/// are few. Ages are of the earliest time, rather than one for each session.
const SQL: &str = "
SELECT coalesce(datid = here.oid, false) AS here,
       coalesce(pg_get_userbyid(usesysid)::text, '') AS usename,
       application_name, state, hidden, waiting_for_lock, sessions,
       extract(epoch FROM clock_timestamp() - statement_start)::float8 AS oldest_statement,
       extract(epoch FROM clock_timestamp() - transaction_start)::float8 AS oldest_transaction,
       extract(epoch FROM clock_timestamp() - idle_start)::float8 AS oldest_idle_in_transaction,
       current_user::text AS role,
       (current_setting('max_connections')::bigint
           - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', true)::bigint, 0)) AS max_connections
  FROM (SELECT datid, usesysid, coalesce(application_name, '') AS application_name, state,
               backend_type IS NULL AS hidden,
               coalesce(state = 'active' AND wait_event_type = 'Lock', false) AS waiting_for_lock,
               count(*) AS sessions,
               min(query_start) FILTER (WHERE state = 'active') AS statement_start,
               min(xact_start) AS transaction_start,
               min(state_change) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_start
          FROM pg_stat_get_activity(NULL)
         WHERE backend_type = 'client backend'
            OR (backend_type IS NULL AND datid <> 0 AND application_name <> $1)
         GROUP BY 1, 2, 3, 4, 5, 6) AS alike,
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS here";

#[cfg(test)]
mod tests {
    use super::*;

    fn group(application_name: &str, state: &str, sessions: i64) -> Group {
        Group {
            here: true,
            application_name: application_name.into(),
            state: Some(state.into()),
            sessions,
            max_connections: 97,
            ..Group::default()
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
        let reading = parse("primary", &groups, &[("inferred".into(), settings)]).unwrap();
        let figures = reading.pools[0].workers[0].figures;
        assert_eq!((figures.checked_in, figures.checked_out), (Some(3), Some(3)));
        assert_eq!((figures.overflow, figures.capacity()), (Some(4), Some(8)));
        let sessions = reading.sessions.unwrap();
        assert_eq!((sessions.active, sessions.connections), (10, 16));
    }

    #[test]
    fn a_pool_of_unknown_size_has_no_utilization() {
        let groups = [group("x", "active", 3)];
        let reading = parse("primary", &groups, &[("app".into(), Settings::default())]).unwrap();
        let figures = reading.pools[0].workers[0].figures;
        assert_eq!((figures.checked_out, figures.utilization()), (Some(3), None));
    }

    #[test]
    fn hidden_sessions_are_an_error_and_not_zero() {
        let hidden = Group { hidden: true, role: "watch".into(), ..group("", "", 4) };
        let error = parse("primary", &[hidden], &[]).unwrap_err().to_string();
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
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
