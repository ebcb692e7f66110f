//! One sample of `pg_stat_statements`: all statements at one moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row as _};

use super::super::is_undecodable;
use super::{Error, Excluded};
use crate::collectors::Query;
use crate::latency::{Moments, is_timed};
use crate::postgres::{self, APPLICATION_NAME, Optional, ReducibleStatement, Reductions};
use crate::statement::Text;
use poolwatch_client::Checkout;

/// The most statements that are read: some 10 MB.
pub(super) const MOST: usize = 50_000;

/// The highest count of one statement that is believed: the sum of them all fits into 64 bits.
const MAX_COUNT: u64 = 1 << 48;

/// Characters of a text that are shown.
const SHOWN: usize = 500;

/// The figures that come from the sample, as hints name them.
const GIVES: &str = "db_statement_duration_*, the statements that matter most";
/// Columns that a server may lack: statements are counted without them.
const OPTIONAL: Optional<'static> = Optional::These(&[
    "rows",
    "shared_blks_hit",
    "shared_blks_read",
    "stats_since",
    "minmax_stats_since",
    "stats_reset",
    "dealloc",
]);

/// The suffix of the columns of times.
const TIME: &[Query] = &[Query { since: 108, sql: "exec_time" }, Query { since: 0, sql: "time" }];
/// The column that is true when a client sent the statement.
const TOPLEVEL: &[Query] =
    &[Query { since: 109, sql: "toplevel" }, Query { since: 0, sql: "true" }];
/// The times since which it and its extremes are counted.
const SINCE: &[Query] = &[
    Query {
        since: 111,
        sql: "extract(epoch FROM stats_since)::float8, extract(epoch FROM minmax_stats_since)::float8",
    },
    Query { since: 0, sql: "NULL::float8, NULL::float8" },
];
/// The time at which all statements were last reset.
const RESET: &[Query] = &[
    Query {
        since: 109,
        sql: "(SELECT extract(epoch FROM stats_reset)::float8
                 FROM @extension.pg_stat_statements_info())",
    },
    Query { since: 0, sql: "NULL::float8" },
];

/// The number of times that statements were evicted because there were too many.
const EVICTIONS: &[Query] = &[
    Query { since: 109, sql: "(SELECT dealloc FROM @extension.pg_stat_statements_info())" },
    Query { since: 0, sql: "NULL::int8" },
];
/// Seconds from which on the server logs every statement that the statistics count. Nothing where a
/// role or a database has settings of its own, which no other session sees, where statements such as
/// CALL are logged but not counted, where such lines are too unimportant for the log, or where the
/// server does not write to the log that is read: `$1` is its `log_destination`.
pub const LOGGED_FROM: &str = "
SELECT extract(epoch FROM current_setting('log_min_duration_statement')::interval)::float8
 WHERE current_setting('log_min_duration_statement') <> '-1'
   AND $1 = ANY (string_to_array(replace(current_setting('log_destination'), ' ', ''), ','))
   AND (current_setting('lc_messages') IN ('', 'C', 'POSIX')
        OR current_setting('lc_messages') LIKE ANY (ARRAY['en%', 'C.%']))
   AND current_setting('log_min_messages') NOT LIKE ALL (ARRAY['%fatal%', '%panic%'])
   AND current_setting('pg_stat_statements.track_utility', true) = 'on'
   AND current_setting('pg_stat_statements.track', true) IN ('top', 'all')
   AND NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS one
                    WHERE one LIKE 'log_min_duration_statement=%'
                       OR one LIKE 'lc_messages=%' OR one LIKE 'pg_stat_statements.%')";

/// The identity of a statement: its role, its database, its `query_id`.
pub(super) type StatementKey = (i64, i64, i64);

/// All statements at one moment, times in Unix seconds by the server's clock.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) at: f64,
    /// The time at which the server started.
    pub(super) began: f64,
    /// The time at which all statements were last reset; from 1.9 on.
    pub(super) reset: Option<f64>,
    /// The number of times that some were evicted; from 1.9 on.
    pub(super) evictions: Option<i64>,
    /// Seconds from which on every statement is logged, where its log is read and that is certain.
    pub(super) logged_from: Option<f64>,
    /// True when some statements of others are hidden from the role.
    pub(super) masked: bool,
    /// The role that samples.
    pub(super) role: i64,
    /// True when sessions other than poolwatch's have that role.
    pub(super) shared: bool,
    /// The database that poolwatch is connected to.
    pub(super) current_database: i64,
    pub(super) statements: HashMap<StatementKey, SampledStatement>,
}

/// One statement of one role in one database.
#[derive(Clone, Debug, Default)]
pub(super) struct SampledStatement {
    pub(super) database: Arc<str>,
    pub(super) moments: Moments,
    /// Rows that it returned or changed.
    pub(super) rows: u64,
    /// Shared blocks that it asked for.
    pub(super) blocks: u64,
}

/// The extension as it is there, which may be older than its server.
pub(super) struct StatementsExtension {
    /// As the collectors' tables have it: 1.10 is 110.
    version: u32,
    /// Quoted.
    schema: String,
}

impl StatementsExtension {
    /// `None` when the database has not got it.
    pub(super) async fn find(
        connection: &mut Checkout,
        reductions: &mut Reductions,
    ) -> Result<Option<Self>, Error> {
        let functions = ["pg_stat_statements", "pg_stat_statements_info"];
        let name = functions[0];
        let found = postgres::Extension::find(connection, name, &functions, reductions).await?;
        Ok(found.map(|found| Self { version: found.since(), schema: found.schema }))
    }

    /// Only statements that clients sent, where those within functions are kept apart: their time
    /// is in that of the function's caller.
    fn statements(&self) -> String {
        let schema = &self.schema;
        let [time, toplevel, since] = [TIME, TOPLEVEL, SINCE]
            .map(|columns| Query::newest(columns, self.version).unwrap_or_default());
        format!(
            "SELECT userid::int8, dbid::int8, queryid, datname::text, calls, total_{time},
                    min_{time}, max_{time}, stddev_{time}, {since},
                    rows, shared_blks_hit + shared_blks_read
               FROM {schema}.pg_stat_statements(false) AS statements
               JOIN pg_database ON pg_database.oid = dbid
              WHERE {toplevel}
                AND dbid <> ALL (ARRAY(SELECT oid FROM pg_database WHERE datname = ANY ($1)))
                AND userid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($2)))
              LIMIT {}",
            MOST + 1
        )
    }

    /// Of the database that the connection is to, with their texts.
    pub(super) fn current_database(&self) -> String {
        let schema = &self.schema;
        let time = Query::newest(TIME, self.version).unwrap_or_default();
        format!(
            "SELECT min(query), sum(calls)::int8, sum(total_{time})::float8 / 1000
               FROM {schema}.pg_stat_statements(true)
               JOIN pg_database ON pg_database.oid = dbid
              WHERE datname = current_database() AND queryid IS NOT NULL
              GROUP BY queryid ORDER BY 3 DESC LIMIT $1"
        )
    }

    fn surroundings(&self) -> String {
        let [reset, evictions] = [RESET, EVICTIONS].map(|columns| {
            let sql = Query::newest(columns, self.version).unwrap_or_default();
            sql.replace("@extension", &self.schema)
        });
        format!(
            "SELECT extract(epoch FROM clock_timestamp())::float8,
                    extract(epoch FROM pg_postmaster_start_time())::float8, {reset}, oid::int8,
                    EXISTS (SELECT FROM pg_stat_activity
                             WHERE usesysid = pg_roles.oid AND backend_type = 'client backend'
                               AND application_name <> $1
                               AND NOT (application_name = ''
                                        AND query IN ('', 'SHOW poolwatch.session'))),
                    (SELECT oid::int8 FROM pg_database WHERE datname = current_database()),
                    {evictions}
               FROM pg_roles WHERE rolname = current_user"
        )
    }

    /// Samples once; `None` where the server lacks what it cannot be done without.
    pub(super) async fn sample(
        &self,
        connection: &mut Checkout,
        excluded: &Excluded,
        reductions: &mut Reductions,
    ) -> Result<Option<Sample>, Error> {
        let sql = self.surroundings();
        let asked = ReducibleStatement { sql: &sql, optional: OPTIONAL, gives: GIVES };
        let rows = reductions.rows(connection, asked, |query| query.bind(APPLICATION_NAME)).await?;
        let Some(row) = rows.as_ref().and_then(|rows| rows.first()) else { return Ok(None) };
        let mut sample = Sample {
            at: row.try_get(0)?,
            began: row.try_get(1)?,
            reset: row.try_get(2)?,
            role: row.try_get(3)?,
            shared: row.try_get(4)?,
            current_database: row.try_get(5)?,
            evictions: row.try_get(6)?,
            ..Sample::default()
        };
        let sql = self.statements();
        let asked = ReducibleStatement { sql: &sql, optional: OPTIONAL, gives: GIVES };
        let rows = reductions
            .rows(connection, asked, |query| query.bind(&excluded.databases).bind(&excluded.users));
        let Some(rows) = rows.await? else { return Ok(None) };
        if rows.len() > MOST {
            return Err(Error::TooMany);
        }
        rows.iter().try_for_each(|row| sample.take(row))?;
        Ok(Some(sample))
    }

    /// Seconds from which on the server logs every statement; `None` where that is not certain.
    pub(super) async fn logged_from(
        connection: &mut Checkout,
        destination: &'static str,
        reductions: &mut Reductions,
    ) -> Result<Option<f64>, Error> {
        let optional = Optional::These(&[]);
        let gives = "bounds narrowed by the server's log";
        let asked = ReducibleStatement { sql: LOGGED_FROM, optional, gives };
        let rows = reductions.rows(connection, asked, |query| query.bind(destination)).await?;
        let row = rows.as_ref().and_then(|rows| rows.first());
        Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
    }

    /// For each of these `query_id`s, true when its statement is a query.
    pub(super) async fn kinds(
        &self,
        connection: &mut Checkout,
        query_ids: &[i64],
        reductions: &mut Reductions,
    ) -> Result<HashMap<i64, bool>, Error> {
        // A statement without a text is not asked for again and again.
        let mut kinds: HashMap<_, _> = query_ids.iter().map(|query_id| (*query_id, true)).collect();
        let keep = |query_id, text: &str| {
            kinds.insert(query_id, is_timed(text));
        };
        self.each_text(connection, query_ids, reductions, keep).await?;
        Ok(kinds)
    }

    /// The texts of the statements with these `query_id`s.
    pub(super) async fn texts(
        &self,
        connection: &mut Checkout,
        query_ids: &[i64],
        reductions: &mut Reductions,
    ) -> Result<HashMap<i64, Arc<Text>>, Error> {
        let mut texts: HashMap<_, _> =
            query_ids.iter().map(|query_id| (*query_id, Arc::default())).collect();
        let keep = |query_id, text: &str| {
            texts.insert(query_id, Arc::new(Text::read(text, SHOWN)));
        };
        self.each_text(connection, query_ids, reductions, keep).await?;
        Ok(texts)
    }

    /// The server reads the file of all texts for it.
    async fn each_text(
        &self,
        connection: &mut Checkout,
        query_ids: &[i64],
        reductions: &mut Reductions,
        keep: impl FnMut(i64, &str),
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT queryid, query FROM {}.pg_stat_statements(true) WHERE queryid = ANY ($1)",
            self.schema
        );
        if reductions.find(connection, &sql).is_some() {
            return Ok(());
        }
        match stream_texts(connection, &sql, query_ids, keep).await {
            Err(Error::Failed(error)) => {
                let optional = Optional::These(&[]);
                let asked =
                    ReducibleStatement { sql: &sql, optional, gives: "texts of statements" };
                reductions.reduce(connection, asked, error).await?;
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// One at a time: together they may be long.
async fn stream_texts(
    connection: &mut Checkout,
    sql: &str,
    query_ids: &[i64],
    mut keep: impl FnMut(i64, &str),
) -> Result<(), Error> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(query_ids);
    let mut rows = connection.fetch(query);
    loop {
        let row = match rows.try_next().await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            // What cannot be read has no text.
            Err(error) if is_undecodable(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Of whatever encoding; what decides is ASCII.
        if let Some(text) = row.try_get_unchecked::<Option<&[u8]>, _>(1)? {
            keep(row.try_get(0)?, &String::from_utf8_lossy(text));
        }
    }
}

impl Sample {
    fn take(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let Some(query_id) = row.try_get(2)? else {
            self.masked = true;
            return Ok(());
        };
        let name = String::from_utf8_lossy(row.try_get_unchecked(3)?);
        let moments = moments(row)?;
        let durations = [moments.total, moments.shortest, moments.longest, moments.deviation];
        if durations.iter().all(|seconds| seconds.is_finite()) {
            let key = (row.try_get(0)?, row.try_get(1)?, query_id);
            let (rows, blocks) = (count(row, 11)?, count(row, 12)?);
            let statement = SampledStatement { database: (*name).into(), moments, rows, blocks };
            self.statements.insert(key, statement);
        }
        Ok(())
    }

    /// The `query_id`s of all statements.
    pub(super) fn query_ids(&self) -> HashSet<i64> {
        self.statements.keys().map(|(_, _, query_id)| *query_id).collect()
    }
}

fn count(row: &PgRow, at: usize) -> Result<u64, sqlx::Error> {
    let count = row.try_get::<Option<i64>, _>(at)?.unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0).min(MAX_COUNT))
}

fn moments(row: &PgRow) -> Result<Moments, sqlx::Error> {
    let seconds = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<f64, _>(at)? / 1000.0);
    Ok(Moments {
        calls: count(row, 4)?,
        total: seconds(5)?,
        shortest: seconds(6)?,
        longest: seconds(7)?,
        deviation: seconds(8)?,
        since: row.try_get(9)?,
        extremes_since: row.try_get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_asked_for_what_it_has() {
        let sql = |version| StatementsExtension { version, schema: "s".into() }.statements();
        assert!(sql(107).contains("total_time") && !sql(107).contains("toplevel"));
        assert!(sql(108).contains("total_exec_time") && !sql(108).contains("toplevel"));
        assert!(sql(110).contains("toplevel") && !sql(110).contains("stats_since"));
        assert!(sql(111).contains("minmax_stats_since"));
    }
}
