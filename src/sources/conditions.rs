//! The conditions of a server that rules judge: what holds vacuum back, the oldest transactions that
//! are idle, the sessions that hold a connection on purpose, and counters of each database.

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::timeout;

use super::Failure;
use super::collector::Error;
use crate::postgres::{
    APPLICATION_NAME, Database, OPTIONAL_OF_BLOCKERS, Optional, ReducibleStatement, Reductions,
    age, blocker, blocker_columns, text,
};
use crate::reading::{Conditions, DatabaseCounters, HolderKind, Reading, VacuumHolder};
use poolwatch_client::Checkout;

/// Reads the conditions of one server.
#[derive(Debug)]
pub struct ConditionReader {
    database: Arc<Database>,
    reductions: Reductions,
}

impl ConditionReader {
    /// Reads the conditions of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, reductions: Reductions::default() }
    }

    /// Reads once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let read_timeout = self.database.read_timeout();
        let conditions = timeout(read_timeout, self.conditions()).await;
        let conditions = conditions.map_err(|_| Error::Slow(read_timeout.as_secs()))??;
        let hints = self.reductions.tell(self.database.name(), "conditions");
        let note = Some("what rules judge".to_owned());
        Ok(Reading { conditions: Some(conditions.into()), hints, note, ..Reading::default() })
    }

    async fn conditions(&mut self) -> Result<Conditions, Failure> {
        let mut connection = self.database.acquire().await?;
        let mut conditions = Conditions::default();
        for row in self.rows(&mut connection, HOLDERS).await? {
            conditions.vacuum_holders.push(holder(&row).map_err(Error::from)?);
        }
        for row in self.rows(&mut connection, SESSIONS).await? {
            let session = blocker(&row).map_err(Error::from)?;
            let transactions = count(&row, "transactions").map_err(Error::from)?;
            if session.state.starts_with("idle in transaction") {
                conditions.idle_in_transaction.push(session.clone());
            } else if session.state == "active" {
                conditions.running.push(session.clone());
            }
            if let Some(transactions) = transactions {
                let is_idle = session.state != "active";
                let kind = if is_idle { HolderKind::Idle } else { HolderKind::Running };
                let holder = VacuumHolder { kind, transactions, ..VacuumHolder::default() };
                conditions.vacuum_holders.push(VacuumHolder { session: Some(session), ..holder });
            }
        }
        for row in self.rows(&mut connection, COUNTERS).await? {
            conditions.databases.push(counters(&row).map_err(Error::from)?);
        }
        let keepers = self.rows(&mut connection, KEEPERS).await?;
        let keepers = keepers.first().map(|row| count(row, "keepers")).transpose();
        conditions.keepers = keepers.map_err(Error::from)?.flatten().unwrap_or(0);
        self.identify(&mut connection).await?;
        Ok(conditions)
    }

    /// Reads which server it is: behind one name there may be another since.
    async fn identify(&mut self, connection: &mut Checkout) -> Result<(), Failure> {
        let rows = self.rows(connection, IDENTIFIER).await?;
        if let Some(row) = rows.first() {
            let identifier = text(row, "system_identifier").map_err(Error::from)?;
            if let Some(identifier) = identifier {
                self.database.identified(&identifier);
            }
        }
        Ok(())
    }

    /// The rows of a statement; none, where the server lacks what it cannot be asked without.
    async fn rows(
        &mut self,
        connection: &mut Checkout,
        statement: ReducibleStatement<'static>,
    ) -> Result<Vec<PgRow>, Failure> {
        let bound = |query: sqlx::query::Query<'static, _, _>| {
            if statement.sql.contains("$1") { query.bind(APPLICATION_NAME) } else { query }
        };
        let rows = self.reductions.rows(connection, statement, bound).await;
        Ok(rows.map_err(Error::from)?.unwrap_or_default())
    }
}

fn holder(row: &PgRow) -> Result<VacuumHolder, sqlx::Error> {
    let kind = match text(row, "kind")?.unwrap_or_default().as_str() {
        "replica" => HolderKind::Replica,
        "prepared" => HolderKind::Prepared,
        "active slot" => HolderKind::ActiveSlot,
        _ => HolderKind::InactiveSlot,
    };
    Ok(VacuumHolder {
        kind,
        name: text(row, "name")?.unwrap_or_default(),
        transactions: count(row, "transactions")?.unwrap_or(0),
        seconds: age(row, "seconds")?,
        session: None,
    })
}

fn counters(row: &PgRow) -> Result<DatabaseCounters, sqlx::Error> {
    Ok(DatabaseCounters {
        name: text(row, "datname")?.unwrap_or_default(),
        deadlocks: count(row, "deadlocks")?.unwrap_or(0),
        sessions: count(row, "sessions")?,
        transactions: count(row, "transactions")?.unwrap_or(0),
    })
}

fn count(row: &PgRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let count: Option<i64> = row.try_get(column)?;
    Ok(count.and_then(|count| u64::try_from(count).ok()))
}

const HOLDERS: ReducibleStatement<'static> = ReducibleStatement {
    sql: HOLDERS_SQL,
    optional: Optional::These(&["application_name", "client_addr"]),
    gives: "what holds vacuum back",
};

const SESSIONS: ReducibleStatement<'static> = ReducibleStatement {
    sql: SESSIONS_SQL,
    optional: Optional::These(OPTIONAL_OF_BLOCKERS),
    gives: "the sessions that hold vacuum back or are idle in a transaction",
};

const COUNTERS: ReducibleStatement<'static> = ReducibleStatement {
    sql: "SELECT datname::text, (columns ->> 'deadlocks')::int8 AS deadlocks,
                 (columns ->> 'sessions')::int8 AS sessions,
                 (columns ->> 'xact_commit')::int8 + (columns ->> 'xact_rollback')::int8
                     AS transactions
            FROM pg_stat_database AS stat, to_jsonb(stat) AS columns WHERE datname IS NOT NULL",
    optional: Optional::These(&[]),
    gives: "deadlocks and sessions of each database",
};

const KEEPERS: ReducibleStatement<'static> = ReducibleStatement {
    sql: "SELECT count(*) AS keepers FROM pg_stat_activity
           WHERE state LIKE 'idle%' AND backend_type = 'client backend'
             AND application_name <> $1
             AND (query ~* '^\\s*listen\\s'
                  OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted))",
    optional: Optional::These(&[]),
    gives: "the sessions that listen or hold an advisory lock",
};

/// A managed server may refuse the function.
const IDENTIFIER: ReducibleStatement<'static> = ReducibleStatement {
    sql: "SELECT CASE WHEN has_function_privilege('pg_control_system()', 'execute')
                      THEN (SELECT system_identifier::text FROM pg_control_system())
                 END AS system_identifier",
    optional: Optional::These(&[]),
    gives: "the system identifier",
};

/// A replica whose slot keeps its `xmin` reports none itself. A standby holds nothing back.
const HOLDERS_SQL: &str = "
SELECT 'replica' AS kind,
       concat_ws(' ', nullif(application_name, ''), 'at', coalesce(host(client_addr), 'a local socket'))
           AS name,
       age(backend_xmin)::int8 AS transactions, NULL::float8 AS seconds
  FROM pg_stat_replication WHERE backend_xmin IS NOT NULL AND NOT pg_is_in_recovery()
UNION ALL
SELECT CASE WHEN NOT active THEN 'inactive slot' WHEN slot_type = 'physical' THEN 'replica'
            ELSE 'active slot' END,
       CASE WHEN active AND slot_type = 'physical' THEN 'with the slot ' ELSE '' END || slot_name,
       greatest(age(xmin), age(catalog_xmin))::int8, NULL
  FROM pg_replication_slots
 WHERE (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND NOT pg_is_in_recovery()
UNION ALL
SELECT 'prepared', gid, age(transaction)::int8,
       extract(epoch FROM clock_timestamp() - prepared)::float8
  FROM pg_prepared_xacts WHERE NOT pg_is_in_recovery()
 ORDER BY 3 DESC LIMIT 10";

/// `pg_dump` is to see the database as it was when it began. Of the sessions that are idle and of
/// those that work the oldest come in turn, so that neither leaves no room for the other.
const SESSIONS_SQL: &str = concat!(
    "
SELECT ",
    blocker_columns!(),
    ",
       CASE WHEN NOT pg_is_in_recovery() AND application_name <> 'pg_dump'
            THEN greatest(age(backend_xmin), age(backend_xid))::int8 END AS transactions
  FROM pg_stat_activity AS session
 WHERE backend_type = 'client backend' AND application_name <> $1
   AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state LIKE 'idle in transaction%')
 ORDER BY row_number() OVER (
              PARTITION BY state LIKE 'idle in transaction%' ORDER BY xact_start)
 LIMIT 20"
);
