//! The present indexes: those of a database, from its catalogue and its statistics.

use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row};

use crate::collectors::Query;
use crate::postgres::{Optional, ReducibleStatement, Reductions, major_version, text, texts};
use poolwatch_client::Checkout;

/// No more indexes than these are looked at.
const LIMIT: i64 = 5000;

/// One index of a database.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "five things that are true or not")]
pub struct PresentIndex {
    /// Its schema and its table's.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its table as the server writes it where all names are qualified.
    pub relation: String,
    /// Its name.
    pub name: String,
    /// True when queries may use it: a build that failed leaves an index that only costs.
    pub valid: bool,
    /// True while it is being built.
    pub building: bool,
    /// True when it allows no value twice.
    pub unique: bool,
    /// True when it is needed for more than queries: by a constraint, a replica identity, or as
    /// the parent of the indexes of partitions, which has no use of its own counted, or as one of
    /// those, which cannot be dropped alone.
    pub needed: bool,
    /// True when it carries columns beside its keys.
    pub included: bool,
    /// The access method.
    pub method: String,
    /// The keys, in order; expressions as the server writes them.
    pub columns: Vec<String>,
    /// Of each key what is not usual: its operator class, order and collation; empty when usual.
    pub kinds: Vec<String>,
    /// Of each key the comparisons that it serves: `ordered` with the usual operators, only `equal`,
    /// or neither, which is empty.
    pub serves: Vec<String>,
    /// The condition of a partial index, as the server writes it.
    pub condition: Option<String>,
    /// The number of scans by queries since the statistics began, if the server reports it.
    pub scans: Option<u64>,
    /// Seconds since its own statistics were reset; `None` when never, and before 19.
    pub reset_ago: Option<f64>,
    /// Its size by the last vacuum or analyze.
    pub bytes: u64,
}

/// All indexes of a database, and since when their use was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The indexes.
    pub indexes: Vec<PresentIndex>,
    /// Every table, as schema and name.
    pub tables: Vec<(String, String)>,
    /// Seconds since the statistics began, at least.
    pub counted_for: f64,
}

impl Inventory {
    /// Reads all that there is.
    pub async fn read(connection: &mut Checkout) -> Result<Self, sqlx::Error> {
        let mut reductions = Reductions::default();
        let inventory = Self::read_reduced(connection, &mut reductions).await?;
        let complete = inventory.filter(|_| reductions.hints().is_empty());
        complete.ok_or_else(|| sqlx::Error::Protocol(reductions.hints().join("; ")))
    }

    /// Reads what there is. Of a server newer than any that was tested, what it lacks is left out;
    /// `None` where it reports no indexes.
    pub async fn read_reduced(
        connection: &mut Checkout,
        reductions: &mut Reductions,
    ) -> Result<Option<Self>, sqlx::Error> {
        let reset_ago = Query::newest(RESET_AGO, major_version(connection)).unwrap_or_default();
        let progress = statement(PROGRESS, "the indexes that are being built");
        let progress = reductions.rows(connection, progress, |query| query).await?;
        let building = if progress.is_some() { IS_BUILT } else { "false" };
        let sql = INDEXES.replace("@reset_ago", reset_ago).replace("@building", building);
        let limited = |query: BoundStatement| query.bind(LIMIT);
        let rows = reductions.rows(connection, statement(&sql, "the indexes"), limited).await?;
        let Some(rows) = rows else { return Ok(None) };
        no_more_than_asked(&rows)?;
        let indexes = rows.iter().map(PresentIndex::from_row).collect::<Result<_, _>>()?;
        let rows = reductions.rows(connection, statement(TABLES, "the tables"), limited).await?;
        let Some(rows) = rows else { return Ok(None) };
        no_more_than_asked(&rows)?;
        let table = |row: &PgRow| Ok::<_, sqlx::Error>((name(row, 0)?, name(row, 1)?));
        let tables = rows.iter().map(table).collect::<Result<_, _>>()?;
        let counted_for = statement(COUNTED_FOR, "since when the use of indexes is counted");
        let rows = reductions.rows(connection, counted_for, |query| query).await?;
        let row = rows.as_ref().and_then(|rows| rows.first());
        // What was counted for nobody knows how long was not counted for long.
        let counted_for = row.map_or(Ok(0.0), |row| row.try_get(0))?;
        Ok(Some(Self { indexes, tables, counted_for }))
    }

    /// The index of this name in this schema.
    pub fn named(&self, schema: &str, name: &str) -> Option<&PresentIndex> {
        self.indexes.iter().find(|index| index.schema == schema && index.name == name)
    }
}

impl PresentIndex {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.unsigned_abs());
        Ok(Self {
            schema: name(row, "schema")?,
            table: name(row, "table")?,
            relation: name(row, "relation")?,
            name: name(row, "name")?,
            valid: row.try_get("valid")?,
            building: row.try_get("building")?,
            unique: row.try_get("unique")?,
            needed: row.try_get("needed")?,
            included: row.try_get("included")?,
            method: name(row, "method")?,
            columns: texts(row, "columns")?,
            kinds: texts(row, "kinds")?,
            serves: texts(row, "serves")?,
            condition: text(row, "condition")?,
            scans: row.try_get::<Option<i64>, _>("scans")?.map(i64::unsigned_abs),
            reset_ago: row.try_get("reset_ago")?,
            bytes: count("bytes")?,
        })
    }

    /// `schema.name`, without the schema everybody knows.
    pub fn title(&self) -> String {
        titled(&self.schema, &self.name)
    }

    /// Its table as [`PresentIndex::title`].
    pub fn table_title(&self) -> String {
        titled(&self.schema, &self.table)
    }
}

/// Fails for more rows than were asked for, which the real server never sends.
fn no_more_than_asked(rows: &[PgRow]) -> Result<(), sqlx::Error> {
    if rows.len() as u64 <= LIMIT.unsigned_abs() {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("{} rows where at most {LIMIT} were asked for", rows.len())))
}

/// A statement with what is bound to it.
type BoundStatement = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn statement<'s>(sql: &'s str, gives: &'s str) -> ReducibleStatement<'s> {
    let optional = Optional::These(&["pg_stat_get_numscans", "pg_stat_get_stat_reset_time"]);
    ReducibleStatement { sql, optional, gives }
}

fn name<I: ColumnIndex<PgRow>>(row: &PgRow, column: I) -> Result<String, sqlx::Error> {
    Ok(text(row, column)?.unwrap_or_default())
}

fn titled(schema: &str, name: &str) -> String {
    if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") }
}

/// Seconds since the statistics of an index alone were reset.
const RESET_AGO: &[Query] = &[
    Query {
        since: 19,
        sql: "extract(epoch FROM clock_timestamp()
                           - pg_stat_get_stat_reset_time(index.indexrelid))::float8",
    },
    Query { since: 0, sql: "NULL::float8" },
];

const PROGRESS: &str = "SELECT index_relid FROM pg_stat_progress_create_index";

const IS_BUILT: &str = "EXISTS (SELECT FROM pg_stat_progress_create_index AS progress
                WHERE progress.index_relid = index.indexrelid)";

/// Neither the server's own nor those of temporary tables. A foreign key stands on the index of
/// what it refers to (`conindid`).
const INDEXES: &str = r#"
SELECT namespace.nspname::text AS "schema",
       relation.relname::text AS "table",
       index.indrelid::regclass::text AS relation,
       class.relname::text AS name,
       index.indisvalid AND index.indisready AND index.indislive AS valid,
       @building AS building,
       index.indisunique AS "unique",
       index.indisprimary OR index.indisreplident OR class.relkind = 'I'
           OR class.relispartition OR EXISTS (
           SELECT FROM pg_constraint WHERE conindid = index.indexrelid
       ) AS needed,
       index.indnatts > index.indnkeyatts AS included,
       method.amname::text AS method,
       ARRAY(SELECT coalesce(
                        (SELECT quote_ident(attname) FROM pg_attribute
                          WHERE attrelid = index.indrelid AND attnum = index.indkey[key - 1]),
                        pg_get_indexdef(index.indexrelid, key, true))
               FROM generate_series(1, index.indnkeyatts) AS key ORDER BY key) AS columns,
       ARRAY(SELECT CASE WHEN operators.opcdefault AND index.indoption[key] = 0
                          AND index.indcollation[key] IN (0, 100) THEN ''
                         ELSE concat_ws(' ', operators.opcname, index.indoption[key],
                                        index.indcollation[key]) END
               FROM generate_series(0, index.indnkeyatts - 1) AS key
               JOIN pg_opclass AS operators ON operators.oid = index.indclass[key]
              ORDER BY key) AS kinds,
       ARRAY(SELECT CASE WHEN index.indcollation[key] NOT IN (
                                  0, 100, coalesce((SELECT attcollation FROM pg_attribute
                                                     WHERE attrelid = index.indrelid
                                                       AND attnum = index.indkey[key]), 0)) THEN ''
                         WHEN operators.opcdefault THEN 'ordered'
                         WHEN operators.opcname LIKE '%pattern\_ops' THEN 'equal'
                         ELSE '' END
               FROM generate_series(0, index.indnkeyatts - 1) AS key
               JOIN pg_opclass AS operators ON operators.oid = index.indclass[key]
              ORDER BY key) AS serves,
       pg_get_expr(index.indpred, index.indrelid, true) AS condition,
       pg_stat_get_numscans(index.indexrelid) AS scans,
       @reset_ago AS reset_ago,
       class.relpages * current_setting('block_size')::bigint AS bytes
  FROM pg_index AS index
  JOIN pg_class AS class ON class.oid = index.indexrelid
  JOIN pg_class AS relation ON relation.oid = index.indrelid
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
  JOIN pg_am AS method ON method.oid = class.relam
 WHERE namespace.nspname NOT IN ('pg_catalog', 'information_schema')
   AND namespace.nspname NOT LIKE 'pg\_%'
   AND class.relkind IN ('i', 'I')
 ORDER BY 1, 2, 3
 LIMIT $1"#;

const TABLES: &str = r"
SELECT namespace.nspname::text, relation.relname::text
  FROM pg_class AS relation
  JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
 WHERE relation.relkind IN ('r', 'm', 'p')
   AND namespace.nspname NOT IN ('pg_catalog', 'information_schema')
   AND namespace.nspname NOT LIKE 'pg\_%'
 ORDER BY 1, 2
 LIMIT $1";

/// A reset that was never is as old as the database; the server's start is the least that is
/// certain, for a crash loses statistics.
const COUNTED_FOR: &str = "
SELECT extract(epoch FROM clock_timestamp() - greatest(stats_reset, pg_postmaster_start_time()))::float8
  FROM pg_stat_database WHERE datname = current_database()";
